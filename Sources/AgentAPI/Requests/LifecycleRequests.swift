/// When an instance is started again after its end, in a request and in an answer.
public struct RestartPolicyBody: Codable, Sendable, Hashable {
    /// `never`, `on_failure` or `always`.
    public var policy: String?
    /// The pause before the first restart in a row, as `5s`; it doubles with each.
    public var backoff: String?
    /// How many restarts in a row there are at most; 0 is no limit.
    public var maximumAttempts: Int?
    /// A run of this length ends the row, as `10m`.
    public var stableAfter: String?

    enum CodingKeys: String, CodingKey {
        case policy, backoff
        case maximumAttempts = "max_attempts"
        case stableAfter = "stable_after"
    }

    public init(
        policy: String? = nil,
        backoff: String? = nil,
        maximumAttempts: Int? = nil,
        stableAfter: String? = nil
    ) {
        self.policy = policy
        self.backoff = backoff
        self.maximumAttempts = maximumAttempts
        self.stableAfter = stableAfter
    }

    /// Reads one; nil for none.
    init?(optional reader: FieldReader?) throws(FieldError) {
        guard var reader else { return nil }
        policy = try reader.string("policy")
        backoff = try reader.string("backoff")
        maximumAttempts = try reader.integer("max_attempts")
        stableAfter = try reader.string("stable_after")
        try reader.finish()
    }
}

/// The body of `PATCH /instances/{id}`: what is left out stays as it is.
public struct UpdateInstanceBody: Encodable, Sendable, Hashable {
    public var restartPolicy: RestartPolicyBody?
    /// This agent's own.
    public var vcpus: Int?
    /// As `2GB`; this agent's own.
    public var size: String?

    enum CodingKeys: String, CodingKey {
        case vcpus, size
        case restartPolicy = "restart_policy"
    }

    public init(restartPolicy: RestartPolicyBody? = nil, vcpus: Int? = nil, size: String? = nil) {
        self.restartPolicy = restartPolicy
        self.vcpus = vcpus
        self.size = size
    }

    /// Reads a request.
    public init(_ reader: FieldReader) throws(FieldError) {
        var reader = reader
        restartPolicy = try RestartPolicyBody(optional: reader.object("restart_policy"))
        vcpus = try reader.integer("vcpus")
        size = try reader.string("size")
        for name in ["env", "auto_standby", "health_check", "ttl", "expires_at"] { try reader.notImplemented(name) }
        try reader.finish()
    }
}

/// The body of `POST /instances/{id}/standby`, which may be absent: nothing of it is acted on.
public struct StandbyInstanceBody: Encodable, Sendable, Hashable {
    public init() {}

    /// Reads a request.
    public init(_ reader: FieldReader) throws(FieldError) {
        var reader = reader
        try reader.refuseCompression()
        try reader.notImplemented("compression_delay")
        try reader.finish()
    }
}

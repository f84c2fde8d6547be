/// The body of `POST /instances`.
///
/// `user`, `working_dir`, `tty` and `stdin_open` are this agent's own; the rest are the fields of existing clients. Of those that this agent
/// does not act on, only values that ask for nothing are accepted.
public struct CreateInstanceBody: Encodable, Sendable, Hashable {
    public struct Network: Encodable, Sendable, Hashable {
        public var enabled: Bool?
        /// As `10Mbps` or `2MB/s`.
        public var bandwidthDownload: String?
        public var bandwidthUpload: String?
        /// This agent's own.
        public var ports: [PortMapping]?

        enum CodingKeys: String, CodingKey {
            case enabled, ports
            case bandwidthDownload = "bandwidth_download"
            case bandwidthUpload = "bandwidth_upload"
        }

        public init(enabled: Bool? = nil) { self.enabled = enabled }

        init(_ reader: inout FieldReader) throws(FieldError) {
            enabled = try reader.boolean("enabled")
            bandwidthDownload = try reader.string("bandwidth_download")
            bandwidthUpload = try reader.string("bandwidth_upload")
            ports = try reader.objects("ports")?.map { reader throws(FieldError) in try PortMapping(reader) }
        }
    }

    public var name: String
    public var image: String
    public var size: String?
    public var overlaySize: String?
    public var vcpus: Int?
    public var env: [String: String]?
    public var entrypoint: [String]?
    public var cmd: [String]?
    public var user: String?
    public var workingDirectory: String?
    public var tags: [String: String]?
    public var hypervisor: String?
    public var network: Network?
    /// Give the program a terminal.
    public var tty: Bool?
    /// Keep the program's stdin open for whoever attaches.
    public var stdinOpen: Bool?
    public var restartPolicy: RestartPolicyBody?

    enum CodingKeys: String, CodingKey {
        case name, image, size, vcpus, env, entrypoint, cmd, user, tags, hypervisor, network, tty
        case stdinOpen = "stdin_open"
        case restartPolicy = "restart_policy"
        case overlaySize = "overlay_size"
        case workingDirectory = "working_dir"
    }

    public init(name: String, image: String) {
        self.name = name
        self.image = image
    }

    /// Reads a request.
    public init(_ reader: FieldReader) throws(FieldError) {
        var reader = reader
        name = try reader.requiredString("name")
        image = try reader.requiredString("image")
        size = try reader.string("size")
        overlaySize = try reader.string("overlay_size")
        vcpus = try reader.integer("vcpus")
        env = try reader.dictionary("env")
        entrypoint = try reader.strings("entrypoint")
        cmd = try reader.strings("cmd")
        user = try reader.string("user")
        workingDirectory = try reader.string("working_dir")
        tags = try reader.dictionary("tags")
        hypervisor = try reader.string("hypervisor")
        tty = try reader.boolean("tty")
        stdinOpen = try reader.boolean("stdin_open")
        restartPolicy = try RestartPolicyBody(optional: reader.object("restart_policy"))
        if var inner = try reader.object("network") {
            network = try Network(&inner)
            if var egress = try inner.object("egress") {
                try egress.notImplemented("enabled")
                // How to enforce says nothing while it is not enabled.
                try egress.notImplemented("enforcement", unless: { _ in true })
                try egress.finish()
            }
            try inner.finish()
        }
        // The older command line sends its default of 3GB with every request; nothing was hotplugged unless asked for
        // later, so an instance without it does what that client expects.
        try reader.notImplemented("hotplug_size") { value in
            guard case .string(let text) = value else { return value.isNeutral }
            return text.isEmpty || text == "3GB" || text.allSatisfy { $0 == "0" || $0.isLetter }
        }
        // There are no kernel headers to skip, whatever is asked for.
        try reader.notImplemented("skip_kernel_headers") { if case .boolean = $0 { true } else { false } }
        try reader.notImplemented("auto_standby") { $0.isDisabledObject ?? false }
        try reader.notImplemented("health_check") { Self.member("type", of: $0, isOneOf: ["", "none"]) }
        for name in [
            "skip_guest_agent", "disk_io_bps", "devices", "gpu", "volumes", "credentials", "snapshot_policy", "ttl",
            "expires_at", "platform",
        ] { try reader.notImplemented(name) }
        try reader.finish()
    }

    private static func member(_ name: String, of value: JSONValue, isOneOf neutral: Set<String>) -> Bool {
        guard case .object(let members) = value else { return false }
        guard case .string(let text)? = members[name] else { return value.isNeutral }
        return neutral.contains(text)
    }
}

/// The body of `POST /instances/{id}/start`, which may be absent.
public struct StartInstanceBody: Encodable, Sendable, Hashable {
    public var entrypoint: [String]?
    public var cmd: [String]?

    public init(entrypoint: [String]? = nil, cmd: [String]? = nil) {
        self.entrypoint = entrypoint
        self.cmd = cmd
    }

    /// Reads a request.
    public init(_ reader: FieldReader) throws(FieldError) {
        var reader = reader
        entrypoint = try reader.strings("entrypoint")
        cmd = try reader.strings("cmd")
        try reader.finish()
    }
}

/// The body of `POST /instances/{id}/stop`, which may be absent; this agent's own.
public struct StopInstanceBody: Encodable, Sendable, Hashable {
    /// How long the program gets after its stop signal, as `10s`.
    public var timeout: String?
    /// Whether the host is about to go down, so that the restart policy is to bring the instance back afterwards.
    public var hostShutdown: Bool?

    enum CodingKeys: String, CodingKey {
        case timeout
        case hostShutdown = "host_shutdown"
    }

    public init(timeout: String? = nil, hostShutdown: Bool? = nil) {
        self.timeout = timeout
        self.hostShutdown = hostShutdown
    }

    /// Reads a request.
    public init(_ reader: FieldReader) throws(FieldError) {
        var reader = reader
        timeout = try reader.string("timeout")
        hostShutdown = try reader.boolean("host_shutdown")
        try reader.finish()
    }
}

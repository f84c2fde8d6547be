/// The body of every error.
public struct ErrorResponse: Codable, Sendable, Hashable, Error {
    /// One fault among several.
    public struct Detail: Codable, Sendable, Hashable {
        public var code: String
        public var message: String

        public init(code: String, message: String) {
            self.code = code
            self.message = message
        }
    }

    /// The stable word for programs.
    public var code: String
    /// For a person.
    public var message: String
    public var details: [Detail]?

    public init(code: String, message: String, details: [Detail]? = nil) {
        self.code = code
        self.message = message
        self.details = details
    }
}

/// The body of `GET /health` and `GET /ready`.
public struct HealthResponse: Codable, Sendable, Hashable {
    public var status: String

    public init(status: String) { self.status = status }
}

/// The body of `GET /capabilities`: what this agent and its host can do.
public struct CapabilitiesResponse: Codable, Sendable, Hashable {
    /// One hypervisor as it was found on the host.
    public struct Hypervisor: Codable, Sendable, Hashable {
        public var name: String
        public var version: String
        /// `kvm` or `tcg`.
        public var accelerator: String
        public var acceleratorReason: String?
        public var pause: Bool
        public var snapshot: Bool
        /// Whether volumes can be attached and detached while an instance runs.
        public var hotplug: Bool
        /// Whether vCPUs and memory can be changed while an instance runs; nil from servers that do not say.
        public var resize: Bool?

        enum CodingKeys: String, CodingKey {
            case name, version, accelerator, pause, snapshot, hotplug, resize
            case acceleratorReason = "accelerator_reason"
        }

        public init(
            name: String,
            version: String,
            accelerator: String,
            acceleratorReason: String?,
            pause: Bool,
            snapshot: Bool,
            hotplug: Bool,
            resize: Bool?
        ) {
            self.name = name
            self.version = version
            self.accelerator = accelerator
            self.acceleratorReason = acceleratorReason
            self.pause = pause
            self.snapshot = snapshot
            self.hotplug = hotplug
            self.resize = resize
        }
    }

    public var version: String
    public var platform: String
    public var hypervisors: [Hypervisor]
    public var network: Bool
    /// WebSocket subprotocols of exec.
    public var execProtocols: [String]

    enum CodingKeys: String, CodingKey {
        case version, platform, hypervisors, network
        case execProtocols = "exec_protocols"
    }

    public init(version: String, platform: String, hypervisors: [Hypervisor], network: Bool, execProtocols: [String]) {
        self.version = version
        self.platform = platform
        self.hypervisors = hypervisors
        self.network = network
        self.execProtocols = execProtocols
    }
}

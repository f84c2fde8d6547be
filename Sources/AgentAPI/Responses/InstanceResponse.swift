public import struct Foundation.Date

/// An instance.
public struct InstanceResponse: Codable, Sendable, Hashable {
    /// Its place on a network.
    public struct Network: Codable, Sendable, Hashable {
        public var enabled: Bool
        public var name: String?
        public var ip: String?
        public var mac: String?
        /// As `10Mbps`; nil is without a limit.
        public var bandwidthDownload: String?
        public var bandwidthUpload: String?
        /// nil where none is published.
        public var ports: [PortMapping]?

        enum CodingKeys: String, CodingKey {
            case enabled, name, ip, mac, ports
            case bandwidthDownload = "bandwidth_download"
            case bandwidthUpload = "bandwidth_upload"
        }

        public init(enabled: Bool, name: String? = nil, ip: String? = nil, mac: String? = nil) {
            self.enabled = enabled
            self.name = name
            self.ip = ip
            self.mac = mac
        }
    }

    public var id: String
    public var name: String
    public var image: String
    public var state: String
    public var stateError: String?
    public var size: String
    public var hotplugSize: String
    public var overlaySize: String
    public var vcpus: Int
    public var env: [String: String]?
    public var entrypoint: [String]?
    public var cmd: [String]?
    public var user: String?
    public var workingDirectory: String?
    public var tags: [String: String]?
    public var network: Network
    /// Whether the program has a terminal, and whether its stdin is open; `false` where it isn't said.
    public var tty: Bool?
    public var stdinOpen: Bool?
    public var hypervisor: String?
    /// Whether its memory is on disk.
    public var hasSnapshot: Bool
    /// nil where it is not started again.
    public var restartPolicy: RestartPolicyBody?
    /// How often in a row it was started again by its policy.
    public var restarts: Int?
    /// When it is started again; nil if it is not going to be.
    public var nextRestartAt: Date?
    public var createdAt: Date
    public var startedAt: Date?
    public var stoppedAt: Date?
    public var exitCode: Int?
    public var exitMessage: String?
    /// `exited`, `signalled`, `stopped`, `killed`, `startFailed`, `machineDied`, `outOfMemory`, `hostShutdown`.
    public var exitReason: String?
    public var phaseDurations: [String: Int]?

    enum CodingKeys: String, CodingKey {
        case id, name, image, state, size, vcpus, env, entrypoint, cmd, user, tags, network, hypervisor, tty
        case stdinOpen = "stdin_open"
        case stateError = "state_error"
        case hotplugSize = "hotplug_size"
        case overlaySize = "overlay_size"
        case workingDirectory = "working_dir"
        case hasSnapshot = "has_snapshot"
        case restarts
        case restartPolicy = "restart_policy"
        case nextRestartAt = "next_restart_at"
        case createdAt = "created_at"
        case startedAt = "started_at"
        case stoppedAt = "stopped_at"
        case exitCode = "exit_code"
        case exitMessage = "exit_message"
        case exitReason = "exit_reason"
        case phaseDurations = "phase_durations_ms"
    }

    public init(
        id: String,
        name: String,
        image: String,
        state: String,
        size: String,
        overlaySize: String,
        vcpus: Int,
        network: Network,
        createdAt: Date
    ) {
        self.id = id
        self.name = name
        self.image = image
        self.state = state
        self.size = size
        self.hotplugSize = "0 B"
        self.overlaySize = overlaySize
        self.vcpus = vcpus
        self.network = network
        self.hasSnapshot = false
        self.createdAt = createdAt
    }
}

/// The body of `GET /instances/{id}/wait`.
public struct WaitResponse: Codable, Sendable, Hashable {
    public var state: String
    public var stateError: String?
    public var timedOut: Bool
    /// How the last run ended, where it has.
    public var exitCode: Int?
    public var exitMessage: String?

    enum CodingKeys: String, CodingKey {
        case state
        case stateError = "state_error"
        case timedOut = "timed_out"
        case exitCode = "exit_code"
        case exitMessage = "exit_message"
    }

    public init(state: String, stateError: String?, timedOut: Bool, exitCode: Int?, exitMessage: String?) {
        self.state = state
        self.stateError = stateError
        self.timedOut = timedOut
        self.exitCode = exitCode
        self.exitMessage = exitMessage
    }
}

/// One event of `GET /instances/{id}/logs?format=record`.
public struct LogRecordResponse: Codable, Sendable, Hashable {
    public var time: Date
    /// `stdout` or `stderr`.
    public var stream: String
    /// The line where it is UTF-8.
    public var text: String?
    /// The line's bytes in base64 where it isn't.
    public var base64: String?
    /// Whether more of the same line follows.
    public var partial: Bool

    public init(time: Date, stream: String, text: String?, base64: String?, partial: Bool) {
        self.time = time
        self.stream = stream
        self.text = text
        self.base64 = base64
        self.partial = partial
    }
}

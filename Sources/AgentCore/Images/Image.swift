public import struct Foundation.Date

/// What an image says about running it: the `config` of the OCI image configuration, kept whole.
public struct ImageConfiguration: Sendable, Hashable, Codable {
    public var entrypoint: [String]
    public var command: [String]
    /// `NAME=value`.
    public var environment: [String]
    public var workingDirectory: String
    public var user: String
    public var stopSignal: String?
    /// As `80/tcp`.
    public var exposedPorts: [String]
    /// Paths.
    public var volumes: [String]
    public var labels: [String: String]
    /// The health check as it stands in Docker's configuration.
    public var healthcheck: Healthcheck?

    /// Docker's extension to the OCI configuration; durations in nanoseconds.
    public struct Healthcheck: Sendable, Hashable, Codable {
        public var test: [String]
        public var interval: Int?
        public var timeout: Int?
        public var startPeriod: Int?
        public var retries: Int?

        public init(
            test: [String],
            interval: Int? = nil,
            timeout: Int? = nil,
            startPeriod: Int? = nil,
            retries: Int? = nil
        ) {
            self.test = test
            self.interval = interval
            self.timeout = timeout
            self.startPeriod = startPeriod
            self.retries = retries
        }
    }

    public init(
        entrypoint: [String] = [],
        command: [String] = [],
        environment: [String] = [],
        workingDirectory: String = "",
        user: String = "",
        stopSignal: String? = nil,
        exposedPorts: [String] = [],
        volumes: [String] = [],
        labels: [String: String] = [:],
        healthcheck: Healthcheck? = nil
    ) {
        self.entrypoint = entrypoint
        self.command = command
        self.environment = environment
        self.workingDirectory = workingDirectory
        self.user = user
        self.stopSignal = stopSignal
        self.exposedPorts = exposedPorts
        self.volumes = volumes
        self.labels = labels
        self.healthcheck = healthcheck
    }
}

/// Where an image stands on its way to a root disk; the names are the wire format of existing clients.
public enum ImageStatus: String, Sendable, Codable, CaseIterable {
    case pending
    case pulling
    case converting
    case ready
    case failed
}

/// An image by one of its names.
///
/// Several names can share one digest, and with it one root disk.
public struct Image: Sendable, Hashable, Codable {
    /// The normalised reference; the key.
    public var name: String
    /// Of the manifest for this host's platform.
    public var digest: Digest
    /// Of the index that the name stands for, where it was pushed as one; kept to be served again.
    public var index: Digest?
    /// What the name stands for, as a registry says it: the index, where there is one.
    public var taggedDigest: Digest { index ?? digest }
    public var status: ImageStatus
    /// Why it failed.
    public var error: String?
    public var createdAt: Date
    /// From the image, once it is ready.
    public var configuration: ImageConfiguration?
    /// Size of the root disk, once it is ready.
    public var diskSize: ByteSize?
    public var tags: [String: String]
    /// Whether it came by import; a failed import cannot be tried again by itself.
    public var imported: Bool

    public init(
        name: String,
        digest: Digest,
        status: ImageStatus,
        createdAt: Date,
        tags: [String: String] = [:],
        imported: Bool = false
    ) {
        self.name = name
        self.digest = digest
        self.status = status
        self.createdAt = createdAt
        self.tags = tags
        self.imported = imported
    }
}

/// How far a pull or import is.
public struct ImageProgress: Sendable, Hashable {
    public var status: ImageStatus
    /// Bytes of the compressed layers that are here, or of the archive that are read.
    public var completed: Int
    /// Of how many, where that is known.
    public var total: Int?

    public init(status: ImageStatus, completed: Int, total: Int?) {
        self.status = status
        self.completed = completed
        self.total = total
    }
}

public import AgentCore
public import SystemPackage

/// What the storage plugin is told at start.
public struct StorageConfiguration: Sendable, Hashable {
    /// Where everything is kept; made if it is missing.
    public var dataDirectory: FilePath
    /// Registries (`host` or `host:port`, as in a reference) that are spoken to by plain HTTP.
    ///
    /// All others need TLS.
    public var insecureRegistries: Set<String>
    /// A PEM file of authorities that may sign registries' certificates besides those that the host trusts; nil for none.
    public var registryAuthorities: FilePath?
    /// The directory of Docker's `config.json`; nil looks at `DOCKER_CONFIG` and then at `$HOME/.docker`.
    public var dockerConfigDirectory: FilePath?
    /// The most of the host's disk that all images may take, whatever is on its way included; nil is without a limit.
    public var maximumImageStorage: ByteSize?
    /// Of root disks that are built from now on; those that are there stay as they are.
    public var rootDiskCompression: RootDiskCompression
    /// Asked before the registries that they copy, in this order.
    public var registryMirrors: [RegistryMirror]
    /// How registries, mirrors and token services are reached.
    public var proxies: ProxyConfiguration
    /// How long a registry is waited for.
    public var registryPatience: RegistryPatience
    /// What an image may ask of this host.
    public var imageLimits: ImageLimits
    /// The bounds of what clients push.
    public var uploadLimits: UploadLimits
    /// The bounds of instance logs.
    public var logLimits: LogLimits

    public init(
        dataDirectory: FilePath,
        insecureRegistries: Set<String> = [],
        registryAuthorities: FilePath? = nil,
        dockerConfigDirectory: FilePath? = nil,
        maximumImageStorage: ByteSize? = nil,
        rootDiskCompression: RootDiskCompression = .none,
        registryMirrors: [RegistryMirror] = [],
        proxies: ProxyConfiguration = ProxyConfiguration(),
        registryPatience: RegistryPatience = RegistryPatience(),
        imageLimits: ImageLimits = ImageLimits(),
        uploadLimits: UploadLimits = UploadLimits(),
        logLimits: LogLimits = LogLimits()
    ) {
        self.dataDirectory = dataDirectory
        self.insecureRegistries = insecureRegistries
        self.registryAuthorities = registryAuthorities
        self.dockerConfigDirectory = dockerConfigDirectory
        self.maximumImageStorage = maximumImageStorage
        self.rootDiskCompression = rootDiskCompression
        self.registryMirrors = registryMirrors
        self.proxies = proxies
        self.registryPatience = registryPatience
        self.imageLimits = imageLimits
        self.uploadLimits = uploadLimits
        self.logLimits = logLimits
    }
}

/// How long a registry is waited for, and how often it is asked again.
public struct RegistryPatience: Sendable, Hashable {
    /// For a connection.
    public var connect: Duration
    /// For the beginning of an answer.
    public var answer: Duration
    /// A transfer of which less than `stallBytes` come in this time is given up and taken up anew; there is no bound on
    /// the whole of it.
    public var stall: Duration
    public var stallBytes: Int
    /// Tries at one thing, of which those that brought a transfer forward don't count.
    public var attempts: Int
    /// Before the second try; doubled for each further one.
    public var pause: Duration
    /// A registry that wants to be left alone for longer is reported instead.
    public var longestPause: Duration

    public init(
        connect: Duration = .seconds(15),
        answer: Duration = .seconds(60),
        stall: Duration = .seconds(60),
        stallBytes: Int = 64 << 10,
        attempts: Int = 4,
        pause: Duration = .milliseconds(500),
        longestPause: Duration = .seconds(30)
    ) {
        self.connect = connect
        self.answer = answer
        self.stall = stall
        self.stallBytes = stallBytes
        self.attempts = attempts
        self.pause = pause
        self.longestPause = longestPause
    }
}

/// How large the log of one source of one instance may grow.
public struct LogLimits: Sendable, Hashable {
    /// A file that has reached this size is rotated.
    public var maximumSize: ByteSize
    /// How many rotated files are kept beside the current one.
    public var maximumFiles: Int

    public init(maximumSize: ByteSize = .mebibytes(10), maximumFiles: Int = 3) {
        self.maximumSize = maximumSize
        self.maximumFiles = maximumFiles
    }
}

/// Bounds on images, against archives that are made to exhaust the host.
public struct ImageLimits: Sendable, Hashable {
    /// Of one layer or archive when uncompressed, and of a root disk.
    public var maximumSize: ByteSize
    /// Files, directories and links over all layers.
    public var maximumEntries: Int
    /// Names, link targets and extended attributes over all layers; they are held in memory during a build.
    public var maximumMetadata: ByteSize
    /// Directories inside one another.
    public var maximumDepth: Int
    /// Layers of one image.
    public var maximumLayers: Int
    /// How many times larger than its compressed form a stream may become, once it is larger than `freeInflation`.
    public var maximumInflateRatio: Int
    /// Up to this size a stream may inflate at any ratio: large files of zeros are common in honest images.
    public var freeInflation: ByteSize

    public init(
        maximumSize: ByteSize = .gibibytes(64),
        maximumEntries: Int = 2_000_000,
        maximumMetadata: ByteSize = .mebibytes(256),
        maximumDepth: Int = 512,
        maximumLayers: Int = 512,
        maximumInflateRatio: Int = 200,
        freeInflation: ByteSize = .gibibytes(1)
    ) {
        self.maximumSize = maximumSize
        self.maximumEntries = maximumEntries
        self.maximumMetadata = maximumMetadata
        self.maximumDepth = maximumDepth
        self.maximumLayers = maximumLayers
        self.maximumInflateRatio = maximumInflateRatio
        self.freeInflation = freeInflation
    }
}

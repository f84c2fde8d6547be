public import GuestProtocol

/// What a caller asks for when creating an instance; everything but name and image has a default.
public struct CreateInstanceRequest: Sendable, Hashable {
    public var name: InstanceName
    /// A name, as `ImagesService` knows it after normalisation, or one with a digest.
    public var image: ImageReference
    /// nil means 2.
    public var vcpus: Int?
    /// nil means 1 GiB.
    public var memory: ByteSize?
    /// nil means 10 GiB.
    public var overlaySize: ByteSize?
    public var environment: [String: String] = [:]
    public var entrypoint: [String]?
    public var command: [String]?
    public var workingDirectory: String?
    public var user: String?
    public var tags: [String: String] = [:]
    public var hypervisor: HypervisorName?
    /// nil means whatever the agent's network offers.
    public var networkEnabled: Bool?
    /// Give the program a terminal.
    public var terminal = false
    /// Keep the program's stdin open for whoever attaches.
    public var openStandardInput = false
    /// Limits need a network.
    public var bandwidth = BandwidthLimits()
    /// Ports of the host that lead to the instance; they need a network.
    public var publishedPorts: [PublishedPort] = []
    /// When it is started again after its end.
    public var restartPolicy = RestartPolicy(mode: .never)

    public init(name: InstanceName, image: ImageReference) {
        self.name = name
        self.image = image
    }
}

/// What may be changed of an instance in any state; nil leaves it as it is.
public struct UpdateInstanceRequest: Sendable, Hashable {
    public var restartPolicy: RestartPolicy?

    public init(restartPolicy: RestartPolicy? = nil) { self.restartPolicy = restartPolicy }
}

/// What a start may change of an instance; nil leaves it as it was.
public struct StartInstanceRequest: Sendable, Hashable {
    public var entrypoint: [String]?
    public var command: [String]?

    public init(entrypoint: [String]? = nil, command: [String]? = nil) {
        self.entrypoint = entrypoint
        self.command = command
    }
}

/// How somebody attaches to an instance's program.
public struct AttachInstanceRequest: Sendable, Hashable {
    /// The size of the caller's terminal, nil if that is not to be told.
    public var size: TerminalSize?
    /// Begin with the whole log so far; otherwise with a line that has no end yet, and what comes from now on.
    public var includesLog: Bool

    public init(size: TerminalSize? = nil, includesLog: Bool = false) {
        self.size = size
        self.includesLog = includesLog
    }
}

/// How hard and how long a stop tries; each step begins where the one before did not end it.
public struct StopInstanceRequest: Sendable, Hashable {
    /// After the program's stop signal.
    public var signalDeadline: Duration
    /// After the power button.
    public var powerButtonDeadline: Duration
    /// The host is about to go down: what is wanted of the instance stays as it is, so that its restart policy brings it
    /// back with the agent's next start.
    public var isForHostShutdown: Bool

    public init(
        signalDeadline: Duration = .seconds(10),
        powerButtonDeadline: Duration = .seconds(5),
        isForHostShutdown: Bool = false
    ) {
        self.signalDeadline = signalDeadline
        self.powerButtonDeadline = powerButtonDeadline
        self.isForHostShutdown = isForHostShutdown
    }
}

/// What a wait found.
public struct InstanceWaitResult: Sendable, Hashable {
    public var instance: Instance
    public var timedOut: Bool

    public init(instance: Instance, timedOut: Bool) {
        self.instance = instance
        self.timedOut = timedOut
    }
}

/// Which instances a list contains; everything that is set must fit.
public struct InstanceFilter: Sendable, Hashable {
    public var state: InstanceState?
    public var tags: [String: String] = [:]

    public init() {}

    func matches(_ instance: Instance) -> Bool {
        if let state, instance.state != state { return false }
        return tags.allSatisfy { instance.specification.tags[$0.key] == $0.value }
    }
}

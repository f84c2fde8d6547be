public import GuestProtocol

public import struct Foundation.Date

/// The states of an instance; the names are the wire format of existing clients.
public enum InstanceState: String, Sendable, Codable, CaseIterable {
    /// Accepted and stored; host resources are being made.
    case created = "Created"
    /// The VMM runs, the guest has not reported that the program started.
    case initializing = "Initializing"
    /// The guest reported that the program started.
    case running = "Running"
    /// vCPUs stopped, memory in place.
    case paused = "Paused"
    /// Memory on disk, no VMM process; the address is kept.
    case standby = "Standby"
    /// The guest has gone, its leftovers are being removed.
    case shutdown = "Shutdown"
    /// Disks and address kept, nothing running.
    case stopped = "Stopped"
    /// The agent cannot tell; `stateError` says why.
    case unknown = "Unknown"
}

/// What was asked for when an instance was created.
public struct InstanceSpecification: Sendable, Hashable, Codable {
    public var name: InstanceName
    /// The image as the caller named it, normalised.
    public var image: String
    /// The image's manifest digest at the time; the tag may move, the instance stays.
    public var imageDigest: Digest
    public var vcpus: Int
    public var memory: ByteSize
    public var overlaySize: ByteSize
    /// `NAME` to value, over the image's own.
    public var environment: [String: String]
    /// Replaces the image's entrypoint where not nil.
    public var entrypoint: [String]?
    /// Replaces the image's command where not nil.
    public var command: [String]?
    /// Replaces the image's working directory where not nil.
    public var workingDirectory: String?
    /// Replaces the image's user where not nil.
    public var user: String?
    public var tags: [String: String]
    /// Which hypervisor was asked for; nil leaves it to the agent's configuration.
    public var hypervisor: HypervisorName?
    public var networkEnabled: Bool
    public var bandwidth: BandwidthLimits
    /// No two instances have the same host port and transport.
    public var publishedPorts: [PublishedPort]
    /// Whether the program has a terminal.
    @FalseIfAbsent public var terminal: Bool
    /// Whether the program's stdin stays open for whoever attaches.
    @FalseIfAbsent public var openStandardInput: Bool
    /// When it is started again after its end; nil, as in what an older release wrote, is never.
    public var restartPolicy: RestartPolicy?

    public init(
        name: InstanceName,
        image: String,
        imageDigest: Digest,
        vcpus: Int,
        memory: ByteSize,
        overlaySize: ByteSize,
        environment: [String: String] = [:],
        entrypoint: [String]? = nil,
        command: [String]? = nil,
        workingDirectory: String? = nil,
        user: String? = nil,
        tags: [String: String] = [:],
        hypervisor: HypervisorName? = nil,
        networkEnabled: Bool = false,
        bandwidth: BandwidthLimits = BandwidthLimits(),
        publishedPorts: [PublishedPort] = [],
        terminal: Bool = false,
        openStandardInput: Bool = false,
        restartPolicy: RestartPolicy? = nil
    ) {
        self.name = name
        self.image = image
        self.imageDigest = imageDigest
        self.vcpus = vcpus
        self.memory = memory
        self.overlaySize = overlaySize
        self.environment = environment
        self.entrypoint = entrypoint
        self.command = command
        self.workingDirectory = workingDirectory
        self.user = user
        self.tags = tags
        self.hypervisor = hypervisor
        self.networkEnabled = networkEnabled
        self.bandwidth = bandwidth
        self.publishedPorts = publishedPorts
        self.terminal = terminal
        self.openStandardInput = openStandardInput
        self.restartPolicy = restartPolicy
    }
}

/// Why an instance is no longer running.
public struct InstanceExit: Sendable, Hashable, Codable {
    /// The reasons, named.
    public enum Reason: String, Sendable, Codable {
        /// The program ended by itself.
        case exited
        /// The program ended by a signal that nobody here sent.
        case signalled
        /// The program ended because it was asked to.
        case stopped
        /// It did not end in time and was killed.
        case killed
        /// The guest could not boot or start the program.
        case startFailed
        /// The VMM ended without the guest having said why.
        case machineDied
        /// The VMM needed more memory than its unit may have, and was ended by the host's kernel.
        case outOfMemory
        /// The host was restarted.
        case hostShutdown
    }

    public var reason: Reason
    /// The program's exit code, or 128 + signal; nil if it is not known.
    public var code: Int?
    public var signal: Int?
    /// In words, where the reason and the code do not say it all.
    public var message: String?

    public init(reason: Reason, code: Int? = nil, signal: Int? = nil, message: String? = nil) {
        self.reason = reason
        self.code = code
        self.signal = signal
        self.message = message
    }
}

/// An instance as it is: what was asked for, and what the agent last saw.
///
/// A value; it does not change by itself.
public struct Instance: Sendable, Hashable, Codable, Identifiable {
    public let id: InstanceID
    public var specification: InstanceSpecification
    public var createdAt: Date

    public var state: InstanceState
    /// What is to become of it; a crash of the agent resumes from here.
    public var desired: DesiredState
    /// What went wrong last, nil once it went right.
    public var stateError: String?
    public var startedAt: Date?
    public var stoppedAt: Date?
    /// How the last run ended; nil while it runs and before its first start.
    public var exit: InstanceExit?
    /// The hypervisor that runs it, or ran it last.
    public var hypervisor: HypervisorName?
    /// What the driver needs to find the VMM again; nil when none runs.
    public var machine: MachineRecord?
    /// What the machine that runs was made as; nil when none runs.
    public var description: MachineDescription?
    /// Where the output of this boot begins, as the guest counts it, if it was not booted but taken up from a snapshot.
    public var outputStart: UInt64?
    /// Its memory on disk, in Standby and on the way there and back; nil otherwise.
    public var standby: InstanceStandby?
    /// Who its guest still takes itself for, as long as it was not told otherwise: its memory is a copy of another's.
    public var formerIdentity: FormerIdentity?
    /// What its guest said that it can, of what this agent may ask for; nil if it never answered.
    public var guestFeatures: [String]?
    /// When it is started again by its policy; nil if it is not going to be.
    public var nextRestart: Date?
    /// How often in a row it was started again by its policy; nil means never.
    private var restartCount: Int?
    /// Its place on the network, from creation to deletion; nil without a network.
    public var attachment: NetworkAttachment?
    /// How long the phases of the last start took.
    public var phases: [StartPhase: Duration]
    /// How many times it was started; distinguishes one boot from the next.
    public var boots: Int
    /// Grows by one with each stored change.
    public var revision: Int

    public var name: InstanceName { specification.name }

    /// How often it was started again by its policy since somebody started it, or since a run that was long enough.
    public var restarts: Int {
        get { restartCount ?? 0 }
        set { restartCount = newValue == 0 ? nil : newValue }
    }

    /// Its connection to the network, nil without one.
    public var endpoint: NetworkEndpoint? {
        attachment.map {
            NetworkEndpoint(
                instance: id,
                name: name,
                attachment: $0,
                limits: specification.bandwidth,
                publishedPorts: specification.publishedPorts
            )
        }
    }

    public init(id: InstanceID, specification: InstanceSpecification, createdAt: Date) {
        self.id = id
        self.specification = specification
        self.createdAt = createdAt
        self.state = .created
        self.desired = .running
        self.phases = [:]
        self.boots = 0
        self.revision = 0
    }
}

/// What is to become of an instance.
public enum DesiredState: String, Sendable, Codable {
    case running
    /// Its vCPUs stand still until somebody asks for the contrary.
    case paused
    case standby
    case stopped
    case deleted
}

/// The phases of a start, in their order.
public enum StartPhase: String, Sendable, Codable, CaseIterable, CodingKeyRepresentable {
    /// Overlay and configuration disks.
    case disks
    /// Address, TAP and rules.
    case network
    /// From the VMM's spawn to a running vCPU.
    case machine
    /// From there to the guest's answer on the channel.
    case boot
    /// From there to the program's start.
    case program
}

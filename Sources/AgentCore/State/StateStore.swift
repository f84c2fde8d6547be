/// The agent's durable state.
///
/// Reads happen once, at start; afterwards the services answer from memory and write every change here *before* they
/// act on it. A commit is on disk when it returns.
public protocol StateStore: Sendable {
    /// Everything that is stored.
    ///
    /// - Throws: ``AgentError`` `versionMismatch` if a newer agent wrote it; nothing is touched then.
    func load() async throws -> StoredState

    /// Makes all changes, or none.
    ///
    /// - Returns: The events among them, with their numbers.
    ///
    /// - Throws: ``AgentError`` `alreadyExists` if another instance, which the message names, has an instance's name
    ///   (`name_conflict`), its address or device (`address_in_use`), or a port of the host (`port_in_use`);
    ///   `storageFull`.
    @discardableResult
    func commit(_ changes: [StateChange]) async throws -> [Event]

    /// Stored events with a greater number than `sequence`, oldest first, at most `limit`.
    func events(after sequence: Int, limit: Int) async throws -> [Event]
}

/// What ``StateStore/load()`` returns.
public struct StoredState: Sendable {
    public var instances: [Instance] = []
    public var images: [Image] = []
    public var snapshots: [Snapshot] = []
    /// Those that had not ended.
    public var operations: [Operation] = []
    public var resources: [HostResource] = []
    /// The number of the newest event, 0 if there never was one.
    public var lastEvent = 0
    /// The host's boot id when the agent last stored it.
    public var bootID: String?
    /// The last address that was given, by the network's id.
    public var lastAddresses: [String: IPv4Address] = [:]

    public init() {}

    /// The images that instances, and snapshots from which there may be forks, were made from.
    public var usedImages: [Digest] {
        instances.map(\.specification.imageDigest) + snapshots.compactMap(\.specification?.imageDigest)
    }
}

/// One change of the stored state.
public enum StateChange: Sendable, Hashable {
    /// Inserts or replaces.
    case putInstance(Instance)
    case removeInstance(InstanceID)
    case putImage(Image)
    case removeImage(name: String)
    case putSnapshot(Snapshot)
    case removeSnapshot(SnapshotID)
    case putOperation(Operation)
    /// Records a host resource *before* it is made.
    case recordResource(HostResource)
    /// Forgets one after it is gone.
    case forgetResource(HostResource)
    /// Appends; the oldest are dropped beyond a bound.
    case appendEvent(EventDraft)
    case setBootID(String)
    /// The last address that was given of a network: the next one comes after it, also after a restart.
    case setLastAddress(network: String, IPv4Address)
}

/// Something on the host that must be gone when its owner is.
public struct HostResource: Sendable, Hashable, Codable {
    public enum Kind: String, Sendable, Codable {
        /// A VMM; the value is its runtime directory.
        case machine
        /// Disks and logs; the value is not used.
        case disks
        /// A network attachment; the value is the TAP device.
        case network
    }

    public var owner: InstanceID
    public var kind: Kind
    public var value: String

    public init(owner: InstanceID, kind: Kind, value: String) {
        self.owner = owner
        self.kind = kind
        self.value = value
    }
}

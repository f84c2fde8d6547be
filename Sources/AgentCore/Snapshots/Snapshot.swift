public import struct Foundation.Date

/// An instance as it once was, kept until somebody removes it: also when the instance itself is gone.
public struct Snapshot: Sendable, Hashable, Codable, Identifiable {
    /// What is kept; the names are the wire format of existing clients.
    public enum Kind: String, Sendable, Codable, CaseIterable {
        /// Memory and disk: the instance runs on from there.
        case standby = "Standby"
        /// The disk of an instance that did not run.
        case stopped = "Stopped"
    }

    public let id: SnapshotID
    /// Another snapshot cannot have it.
    public var name: InstanceName?
    public var kind: Kind
    public var instance: InstanceID
    /// What the instance was called at the time.
    public var instanceName: InstanceName
    public var createdAt: Date
    /// What it takes of the host's disk.
    public var size: ByteSize
    public var hypervisor: HypervisorName?
    public var tags: [String: String]
    /// What was asked for of the instance, for forks; nil, as in what an older release wrote, if nobody knows any more.
    public var specification: InstanceSpecification?

    public init(
        id: SnapshotID,
        name: InstanceName?,
        kind: Kind,
        instance: InstanceID,
        instanceName: InstanceName,
        createdAt: Date,
        size: ByteSize,
        hypervisor: HypervisorName?,
        tags: [String: String],
        specification: InstanceSpecification? = nil
    ) {
        self.id = id
        self.name = name
        self.kind = kind
        self.instance = instance
        self.instanceName = instanceName
        self.createdAt = createdAt
        self.size = size
        self.hypervisor = hypervisor
        self.tags = tags
        self.specification = specification
    }
}

/// What a caller asks for when making a snapshot.
public struct CreateSnapshotRequest: Sendable, Hashable {
    public var kind: Snapshot.Kind
    public var name: InstanceName?
    public var tags: [String: String]

    public init(kind: Snapshot.Kind, name: InstanceName? = nil, tags: [String: String] = [:]) {
        self.kind = kind
        self.name = name
        self.tags = tags
    }
}

/// Which snapshots a list contains; everything that is set must fit.
public struct SnapshotFilter: Sendable, Hashable {
    public var kind: Snapshot.Kind?
    public var name: InstanceName?
    public var instance: InstanceID?
    public var tags: [String: String] = [:]

    public init() {}

    func matches(_ snapshot: Snapshot) -> Bool {
        if let kind, snapshot.kind != kind { return false }
        if let name, snapshot.name != name { return false }
        if let instance, snapshot.instance != instance { return false }
        return tags.allSatisfy { snapshot.tags[$0.key] == $0.value }
    }
}

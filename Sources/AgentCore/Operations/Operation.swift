public import struct Foundation.Date

/// A piece of work on an instance that belongs to the agent, not to the client that asked for it.
public struct Operation: Sendable, Hashable, Codable, Identifiable {
    public enum Kind: String, Sendable, Codable {
        case create
        case start
        case stop
        case pause
        case resume
        case standby
        case restore
        case fork
        case update
        case snapshot
        case restoreSnapshot = "restore_snapshot"
        case delete
    }

    public enum State: String, Sendable, Codable {
        case pending
        case running
        case succeeded
        case failed
        case cancelled

        /// Whether it has ended.
        public var isFinal: Bool { self != .pending && self != .running }
    }

    /// Unique over the life of the agent's state.
    public var id: String
    public var instance: InstanceID
    public var kind: Kind
    public var state: State
    public var error: String?
    public var createdAt: Date
    public var finishedAt: Date?

    public init(id: String, instance: InstanceID, kind: Kind, state: State, createdAt: Date) {
        self.id = id
        self.instance = instance
        self.kind = kind
        self.state = state
        self.createdAt = createdAt
    }
}

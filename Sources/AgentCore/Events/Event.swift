public import struct Foundation.Date

/// Something that happened, before it has its number.
public struct EventDraft: Sendable, Hashable, Codable {
    public enum Kind: String, Sendable, Codable {
        case instanceCreated = "instance.created"
        case instanceState = "instance.state"
        case instanceDeleted = "instance.deleted"
        case snapshotCreated = "snapshot.created"
        case snapshotDeleted = "snapshot.deleted"
        case volumeCreated = "volume.created"
        case volumeGrown = "volume.grown"
        case volumeDeleted = "volume.deleted"
        /// An instance that ran was given a volume.
        case volumeAttached = "volume.attached"
        case volumeDetached = "volume.detached"
        case imageStatus = "image.status"
        case imageDeleted = "image.deleted"
        /// The host's network broke, or is right again.
        case networkState = "network.state"
    }

    public var time: Date
    public var kind: Kind
    /// An instance's, a snapshot's or a volume's id, an image's name, or a network's id.
    public var subject: String
    /// More about it: `state`, `reason`, `exit_code`.
    public var attributes: [String: String]

    public init(time: Date, kind: Kind, subject: String, attributes: [String: String] = [:]) {
        self.time = time
        self.kind = kind
        self.subject = subject
        self.attributes = attributes
    }
}

/// Something that happened, numbered over the life of the agent's state.
public struct Event: Sendable, Hashable, Codable {
    /// From 1, without gaps, in the order of commits.
    public var sequence: Int
    public var event: EventDraft

    public init(sequence: Int, event: EventDraft) {
        self.sequence = sequence
        self.event = event
    }
}

public import struct Foundation.Date

/// Something that happened.
public struct EventResponse: Codable, Sendable, Hashable {
    /// From 1, without gaps, over the life of the agent's state.
    public var sequence: Int
    public var time: Date
    /// As `instance.state`.
    public var kind: String
    /// An instance's or a snapshot's id, an image's name, or a network's id.
    public var subject: String
    /// More about it: `name`, `state`, `reason`, `exit_code`.
    public var attributes: [String: String]

    public init(sequence: Int, time: Date, kind: String, subject: String, attributes: [String: String]) {
        self.sequence = sequence
        self.time = time
        self.kind = kind
        self.subject = subject
        self.attributes = attributes
    }
}

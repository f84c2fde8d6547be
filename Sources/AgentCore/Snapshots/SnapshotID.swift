/// The name of one saved machine, made by the agent: 24 characters of `a`–`z` and `0`–`9`.
public struct SnapshotID: RawRepresentable, Hashable, Sendable, Codable, CustomStringConvertible {
    public let rawValue: String

    /// nil for what no agent has made: it becomes a path.
    public init?(rawValue: String) {
        guard let id = InstanceID(rawValue: rawValue) else { return nil }
        self.rawValue = id.rawValue
    }

    /// A new one.
    public static func random() -> SnapshotID { SnapshotID(InstanceID.random()) }

    private init(_ id: InstanceID) { rawValue = id.rawValue }

    public init(from decoder: any Decoder) throws { self.init(try InstanceID(from: decoder)) }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(rawValue)
    }

    public var description: String { rawValue }
}

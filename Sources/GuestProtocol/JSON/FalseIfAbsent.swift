/// A flag that was added to a description after the first release: where it is not said, as in what an older release
/// wrote, it is false.
@propertyWrapper
public struct FalseIfAbsent: Codable, Sendable, Hashable {
    public var wrappedValue: Bool

    public init(wrappedValue: Bool) { self.wrappedValue = wrappedValue }

    public init(from decoder: any Decoder) throws {
        wrappedValue = try decoder.singleValueContainer().decode(Bool.self)
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(wrappedValue)
    }
}

extension KeyedDecodingContainer {
    /// What the compiler calls for a ``FalseIfAbsent`` in the decoding that it writes itself.
    public func decode(_ type: FalseIfAbsent.Type, forKey key: Key) throws -> FalseIfAbsent {
        try decodeIfPresent(type, forKey: key) ?? FalseIfAbsent(wrappedValue: false)
    }
}

/// What is wrong with foreign bytes; the caller adds where they came from.
public struct DecodingFailure: Error, CustomStringConvertible {
    public let description: String

    public init(_ description: String) { self.description = description }
}

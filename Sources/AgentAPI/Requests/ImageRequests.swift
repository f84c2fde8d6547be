/// The body of `POST /images`.
public struct CreateImageBody: Encodable, Sendable, Hashable {
    public var name: String
    public var tags: [String: String]?

    public init(name: String, tags: [String: String]? = nil) {
        self.name = name
        self.tags = tags
    }

    /// Reads a request.
    public init(_ reader: FieldReader) throws(FieldError) {
        var reader = reader
        name = try reader.requiredString("name")
        tags = try reader.dictionary("tags")
        try reader.finish()
    }
}

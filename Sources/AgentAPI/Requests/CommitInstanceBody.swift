/// The body of `POST /instances/{id}/commit`, which is this agent's own.
public struct CommitInstanceBody: Encodable, Sendable, Hashable {
    /// Of the new image.
    public var image: String
    public var tags: [String: String]?

    public init(image: String, tags: [String: String]? = nil) {
        self.image = image
        self.tags = tags
    }

    /// Reads a request.
    public init(_ reader: FieldReader) throws(FieldError) {
        var reader = reader
        image = try reader.requiredString("image")
        tags = try reader.dictionary("tags")
        try reader.finish()
    }
}

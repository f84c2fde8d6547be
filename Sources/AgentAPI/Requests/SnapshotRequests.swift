/// The body of `POST /instances/{id}/snapshots`.
public struct CreateSnapshotBody: Encodable, Sendable, Hashable {
    /// `Standby` or `Stopped`.
    public var kind: String
    public var name: String?
    public var tags: [String: String]?

    public init(kind: String, name: String? = nil, tags: [String: String]? = nil) {
        self.kind = kind
        self.name = name
        self.tags = tags
    }

    /// Reads a request.
    public init(_ reader: FieldReader) throws(FieldError) {
        var reader = reader
        kind = try reader.requiredString("kind")
        name = try reader.string("name")
        tags = try reader.dictionary("tags")
        try reader.refuseCompression()
        try reader.finish()
    }
}

/// The body of `POST /instances/{id}/snapshots/{snapshotId}/restore`, which may be absent.
public struct RestoreSnapshotBody: Encodable, Sendable, Hashable {
    /// `Running`, or the snapshot's own kind, which is what it is without.
    public var targetState: String?

    enum CodingKeys: String, CodingKey {
        case targetState = "target_state"
    }

    public init(targetState: String? = nil) { self.targetState = targetState }

    /// Reads a request.
    public init(_ reader: FieldReader) throws(FieldError) {
        var reader = reader
        targetState = try reader.string("target_state")
        try reader.notImplemented("target_hypervisor")
        try reader.finish()
    }
}

extension FieldReader {
    /// What is saved is not compressed, and only what asks for that is taken.
    mutating func refuseCompression() throws(FieldError) {
        try notImplemented("compression") { $0.isDisabledObject ?? $0.isNeutral }
    }
}

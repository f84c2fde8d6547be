public import struct Foundation.Date

/// An image.
public struct ImageResponse: Codable, Sendable, Hashable {
    public var name: String
    public var digest: String
    /// `pending`, `pulling`, `converting`, `ready` or `failed`.
    public var status: String
    public var createdAt: Date
    public var error: String?
    public var entrypoint: [String]?
    public var cmd: [String]?
    public var env: [String: String]?
    public var workingDirectory: String?
    public var sizeBytes: Int?
    public var tags: [String: String]?

    enum CodingKeys: String, CodingKey {
        case name, digest, status, error, entrypoint, cmd, env, tags
        case createdAt = "created_at"
        case workingDirectory = "working_dir"
        case sizeBytes = "size_bytes"
    }

    public init(name: String, digest: String, status: String, createdAt: Date) {
        self.name = name
        self.digest = digest
        self.status = status
        self.createdAt = createdAt
    }
}

/// One event of `GET /images/{name}/progress`.
public struct ImageProgressResponse: Codable, Sendable, Hashable {
    public var status: String
    /// Bytes that are here or read.
    public var completed: Int
    public var total: Int?
    /// Why it failed; only with status `failed`.
    public var error: String?

    public init(status: String, completed: Int, total: Int?, error: String? = nil) {
        self.status = status
        self.completed = completed
        self.total = total
        self.error = error
    }

    /// Whether no other event follows.
    public var isFinal: Bool { status == "ready" || status == "failed" }
}

/// The first frame of a copy's WebSocket.
///
/// `name`, `archive` and `wait_for_agent` are this agent's own; the rest is what existing clients send.
public struct CopyBody: Encodable, Sendable, Hashable {
    /// What is to be done.
    public enum Direction: String, Encodable, Sendable, CaseIterable {
        /// Into the instance.
        case to
        /// Out of it.
        case from
        /// Nothing: say what is at the path.
        case stat
    }

    public var direction: Direction
    /// With ``CopyProtocol`` and `to`, the directory below which the archive goes; else the file or directory itself.
    public var guestPath: String
    /// Whether a directory is to be made, not a file.
    public var isDirectory: Bool?
    /// Permission bits of what is made; 0 and nothing are 0644, and 0755 for a directory.
    public var mode: Int?
    /// Whether a symbolic link at the path stands for its target.
    public var followLinks: Bool?
    /// What is copied is called so where it comes from: where the path is a directory, it goes into that under this name.
    public var sourceName: String?
    public var owner: Int?
    public var group: Int?
    /// With ``CopyProtocol`` and `from`: what the path is called in the archive.
    public var name: String?
    /// With ``CopyProtocol`` and `to`: keep the archive's owners.
    public var archive: Bool?
    /// Seconds to wait for an instance that is still starting.
    public var waitForAgent: Int?

    enum CodingKeys: String, CodingKey {
        case direction, mode, name, archive
        case guestPath = "guest_path"
        case isDirectory = "is_dir"
        case followLinks = "follow_links"
        case sourceName = "src_basename"
        case owner = "uid"
        case group = "gid"
        case waitForAgent = "wait_for_agent"
    }

    public init(_ direction: Direction, path: String) {
        self.direction = direction
        guestPath = path
    }

    /// Reads a request.
    public init(_ reader: FieldReader) throws(FieldError) {
        var reader = reader
        let word = try reader.requiredString("direction")
        guard let direction = Direction(rawValue: word) else {
            throw FieldError(
                .invalid,
                field: "direction",
                "direction '\(word.prefix(100))' is not one of to, from, stat"
            )
        }
        self.direction = direction
        guestPath = try reader.requiredString("guest_path")
        isDirectory = try reader.boolean("is_dir")
        mode = try reader.integer("mode")
        followLinks = try reader.boolean("follow_links")
        sourceName = try reader.string("src_basename")
        owner = try reader.integer("uid")
        group = try reader.integer("gid")
        name = try reader.string("name")
        archive = try reader.boolean("archive")
        waitForAgent = try reader.seconds("wait_for_agent")
        try reader.finish()
        if let mode, !(0...0o7777).contains(mode) {
            throw FieldError(
                .invalid,
                field: "mode",
                "field 'mode' must be permission bits, from 0 to 4095 (octal 7777)"
            )
        }
        for (name, value) in [("uid", owner), ("gid", group)] {
            guard let value, !(0..<Int(UInt32.max)).contains(value) else { continue }
            throw FieldError(.invalid, field: name, "field '\(name)' must be from 0 to 4294967294")
        }
        if let sourceName, sourceName.isEmpty || sourceName.contains("/") || [".", ".."].contains(sourceName) {
            throw FieldError(
                .invalid,
                field: "src_basename",
                "field 'src_basename' must be the name of a file, without a slash"
            )
        }
    }
}

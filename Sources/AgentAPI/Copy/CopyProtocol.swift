/// The WebSocket subprotocol of a copy that this agent adds to what existing clients speak: a whole tree is one tar
/// archive on one connection.
///
/// The first client frame is the text of a ``CopyBody``. Then whoever sends the archive sends it in binary frames, and the
/// text `{"type":"end"}` where it is whole. The server's last frame is the text of a ``CopyOutcome``.
public enum CopyProtocol {
    /// For `Sec-WebSocket-Protocol`.
    public static let name = "hypeman.cp.tar.v1"
    /// The largest frame that either side sends or accepts, in bytes.
    public static let largestFrame = 1 << 20
}

/// What a client says besides the contents.
public struct CopyControl: Codable, Sendable, Hashable {
    /// `end`: that was all.
    public var type: String

    public init(type: String) { self.type = type }

    /// That was all.
    public static let end = CopyControl(type: "end")
}

/// A file, directory or link that comes out of an instance, in what existing clients speak; its contents follow.
public struct CopyHeader: Codable, Sendable, Hashable {
    public var type = "header"
    /// Relative, and below the name of what was asked for.
    public var path: String
    public var mode: Int
    public var isDirectory: Bool
    public var isSymbolicLink: Bool
    public var linkTarget: String?
    public var size: Int
    /// Seconds since 1970-01-01 00:00 UTC.
    public var modified: Int
    public var owner: Int
    public var group: Int

    enum CodingKeys: String, CodingKey {
        case type, path, mode, size
        case isDirectory = "is_dir"
        case isSymbolicLink = "is_symlink"
        case linkTarget = "link_target"
        case modified = "mtime"
        case owner = "uid"
        case group = "gid"
    }

    public init(
        path: String,
        mode: Int,
        isDirectory: Bool,
        isSymbolicLink: Bool,
        linkTarget: String?,
        size: Int,
        modified: Int,
        owner: Int,
        group: Int
    ) {
        self.path = path
        self.mode = mode
        self.isDirectory = isDirectory
        self.isSymbolicLink = isSymbolicLink
        self.linkTarget = linkTarget
        self.size = size
        self.modified = modified
        self.owner = owner
        self.group = group
    }
}

/// What the server says besides contents and headers: how a copy, or a file of one, ended.
public struct CopyOutcome: Codable, Sendable, Hashable {
    /// `result` of what went in, `end` of what comes out, `error`.
    public var type: String
    /// Of a result.
    public var success: Bool?
    /// Of a result that is none: why.
    public var error: String?
    /// Of a result.
    public var bytesWritten: Int?
    /// Of an end: whether nothing follows.
    public var final: Bool?
    /// Of an error, for programs.
    public var code: String?
    /// Of an error.
    public var message: String?
    /// Of an error: the path that was asked for.
    public var path: String?
    /// Of a result or the last end: the first things that were left out.
    public var warnings: [String]?

    enum CodingKeys: String, CodingKey {
        case type, success, error, final, code, message, path, warnings
        case bytesWritten = "bytes_written"
    }

    public init(type: String) { self.type = type }

    /// What went in is there.
    public static func result(bytes: Int, warnings: [String] = []) -> CopyOutcome {
        var outcome = CopyOutcome(type: "result")
        outcome.success = true
        outcome.bytesWritten = bytes
        outcome.warnings = warnings.isEmpty ? nil : warnings
        return outcome
    }

    /// A file has come out, or all of them.
    public static func end(final: Bool, warnings: [String] = []) -> CopyOutcome {
        var outcome = CopyOutcome(type: "end")
        outcome.final = final
        outcome.warnings = warnings.isEmpty ? nil : warnings
        return outcome
    }

    /// It could not be done.
    public static func error(code: String, message: String, path: String? = nil) -> CopyOutcome {
        var outcome = CopyOutcome(type: "error")
        outcome.code = code
        outcome.message = message
        outcome.path = path
        return outcome
    }
}

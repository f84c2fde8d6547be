/// What is at a path of an instance's.
public struct PathInfoResponse: Codable, Sendable, Hashable {
    /// `stat` where it is a WebSocket's answer.
    public var type: String?
    public var exists: Bool
    public var isDirectory: Bool
    public var isFile: Bool
    public var isSymbolicLink: Bool
    public var linkTarget: String?
    /// Permission, setuid, setgid and sticky bits.
    public var mode: Int
    /// In bytes.
    public var size: Int
    /// Why it cannot be said.
    public var error: String?
    /// The path without links.
    public var realPath: String?

    enum CodingKeys: String, CodingKey {
        case type, exists, mode, size, error
        case isDirectory = "is_dir"
        case isFile = "is_file"
        case isSymbolicLink = "is_symlink"
        case linkTarget = "link_target"
        case realPath = "real_path"
    }

    public init(
        exists: Bool,
        isDirectory: Bool = false,
        isFile: Bool = false,
        isSymbolicLink: Bool = false,
        linkTarget: String? = nil,
        mode: Int = 0,
        size: Int = 0,
        error: String? = nil,
        realPath: String? = nil
    ) {
        self.exists = exists
        self.isDirectory = isDirectory
        self.isFile = isFile
        self.isSymbolicLink = isSymbolicLink
        self.linkTarget = linkTarget
        self.mode = mode
        self.size = size
        self.error = error
        self.realPath = realPath
    }
}

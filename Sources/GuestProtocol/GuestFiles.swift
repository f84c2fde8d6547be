/// Which of the guest's files is asked about.
public struct GuestPathRequest: Codable, Sendable, Hashable {
    /// Absolute.
    public var path: String
    /// Whether a symbolic link stands for its target.
    @FalseIfAbsent public var followsLink: Bool

    public init(path: String, followsLink: Bool = false) {
        self.path = path
        self.followsLink = followsLink
    }
}

/// What is at a path of the guest's.
public struct GuestPathStatus: Codable, Sendable, Hashable {
    /// What it is.
    public enum Kind: String, Codable, Sendable {
        case file
        case directory
        case symbolicLink
        case other
    }

    /// The path without links: nil if there is nothing.
    public var realPath: String?
    /// nil if there is nothing.
    public var kind: Kind?
    /// Permission, setuid, setgid and sticky bits.
    public var mode: Int
    /// In bytes.
    public var size: Int
    /// Numeric, as all owners here.
    public var owner: Int
    public var group: Int
    /// Of the last modification, since 1970-01-01 00:00 UTC.
    public var modifiedSeconds: Int
    public var modifiedNanoseconds: Int
    /// Of a symbolic link that stands for itself.
    public var linkTarget: String?

    /// What there is to say of nothing.
    public static var nothing: GuestPathStatus {
        GuestPathStatus(kind: nil, mode: 0, size: 0, owner: 0, group: 0, modifiedSeconds: 0, modifiedNanoseconds: 0)
    }

    public init(
        realPath: String? = nil,
        kind: Kind?,
        mode: Int,
        size: Int,
        owner: Int,
        group: Int,
        modifiedSeconds: Int,
        modifiedNanoseconds: Int,
        linkTarget: String? = nil
    ) {
        self.realPath = realPath
        self.kind = kind
        self.mode = mode
        self.size = size
        self.owner = owner
        self.group = group
        self.modifiedSeconds = modifiedSeconds
        self.modifiedNanoseconds = modifiedNanoseconds
        self.linkTarget = linkTarget
    }
}

/// Files of the guest's that are wanted as a tar archive.
public struct GuestReadRequest: Codable, Sendable, Hashable {
    /// A file or directory, absolute; a directory with `/.` at its end stands for what is in it.
    public var path: String
    /// Whether `path` may be a symbolic link that stands for its target; links below it stay what they are.
    @FalseIfAbsent public var followsLink: Bool
    /// What it is called in the archive; nil is its own name.
    public var name: String?
    /// Whether every name of a file has all of its contents behind it: no hard links, and holes as zeros.
    @FalseIfAbsent public var wholeFiles: Bool
    /// Whether it is to become another image's root, which needs ``GuestFeature/imageFiles``.
    ///
    /// Then there is nothing of file systems that are mounted below, and none of the files that say who and where the guest is.
    @FalseIfAbsent public var asImage: Bool

    public init(
        path: String,
        followsLink: Bool = false,
        name: String? = nil,
        wholeFiles: Bool = false,
        asImage: Bool = false
    ) {
        self.path = path
        self.followsLink = followsLink
        self.name = name
        self.wholeFiles = wholeFiles
        self.asImage = asImage
    }
}

/// Files for the guest that come as a tar archive.
public struct GuestWriteRequest: Codable, Sendable, Hashable {
    /// The directory below which they go, absolute; nothing of the archive gets anywhere else.
    public var path: String
    /// Whether they get the owners of the archive, and setuid and setgid bits with them; root's otherwise.
    ///
    /// Directories that are there already get the archive's attributes with this alone.
    @FalseIfAbsent public var keepsOwners: Bool
    /// Of a single file whose contents come as they are instead of an archive, since nobody knows its size before.
    public var file: File?

    /// A file without an archive around it.
    public struct File: Codable, Sendable, Hashable {
        /// Its name below the directory, with slashes where it is deeper.
        public var name: String
        /// Permission bits.
        public var mode: Int
        public var owner: Int
        public var group: Int
        /// Whether a directory is to be made instead, and contents mean nothing.
        @FalseIfAbsent public var isDirectory: Bool

        public init(name: String, mode: Int, owner: Int, group: Int, isDirectory: Bool = false) {
            self.name = name
            self.mode = mode
            self.owner = owner
            self.group = group
            self.isDirectory = isDirectory
        }
    }

    public init(path: String, keepsOwners: Bool = false, file: File? = nil) {
        self.path = path
        self.keepsOwners = keepsOwners
        self.file = file
    }
}

/// How a copy ended, or why something cannot be said of a path.
public struct GuestFilesResult: Codable, Sendable, Hashable {
    /// Why it failed.
    public struct Failure: Codable, Sendable, Hashable {
        /// One of the reasons that `TreeFailure` has, or one that only a newer guest knows.
        public var reason: String
        /// What it is about, as the guest knows it; may be empty.
        public var path: String
        /// All of it in words.
        public var message: String

        public init(reason: String, path: String, message: String) {
            self.reason = reason
            self.path = path
            self.message = message
        }
    }

    /// nil if it went well.
    public var failure: Failure?
    /// Of a path that was asked about.
    public var status: GuestPathStatus?
    /// Files, directories, links and nodes that were written.
    public var members: Int?
    /// Bytes of contents that were written.
    public var bytes: Int?
    /// The first things that were left out, in words.
    public var warnings: [String]?

    public init(
        failure: Failure? = nil,
        status: GuestPathStatus? = nil,
        members: Int? = nil,
        bytes: Int? = nil,
        warnings: [String]? = nil
    ) {
        self.failure = failure
        self.status = status
        self.members = members
        self.bytes = bytes
        self.warnings = warnings
    }
}

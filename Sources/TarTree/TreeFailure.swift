import Glibc
import Tar

/// Why files could not be read or written: which path, and the kernel's reason.
public struct TreeFailure: Error, Sendable, Hashable, CustomStringConvertible {
    /// The class of a failure.
    public enum Reason: String, Sendable, CaseIterable {
        case notFound = "not_found"
        case notDirectory = "not_a_directory"
        case isDirectory = "is_a_directory"
        /// No room is left.
        case full
        case readOnly = "read_only"
        case denied
        /// The path would lead out of the directory that it belongs below.
        case outside
        /// What should be a tar archive is none.
        case damaged
        /// A file became shorter while it was read.
        case changed
        case unsupported
        case cancelled
        case other
    }

    public var reason: Reason
    /// What it is about, as text: empty if it is about nothing in particular.
    public var path: String
    /// All of it in words, the path included.
    public var message: String

    public init(_ reason: Reason, path: String = "", _ message: String) {
        self.reason = reason
        self.path = path
        self.message = message
    }

    /// From an errno.
    ///
    /// - Parameters:
    ///   - error: The errno.
    ///   - doing: What was tried, as in "cannot write".
    ///   - path: What it was tried on.
    public init(errno error: Int32, _ doing: String, _ path: String) {
        let reason: Reason
        switch error {
        case ENOENT: reason = .notFound
        case ENOTDIR: reason = .notDirectory
        case EISDIR: reason = .isDirectory
        case ENOSPC, EDQUOT: reason = .full
        case EROFS: reason = .readOnly
        case EACCES, EPERM: reason = .denied
        case EXDEV, ELOOP: reason = .outside
        case EOPNOTSUPP, ENOSYS: reason = .unsupported
        default: reason = .other
        }
        self.init(reason, path: path, "\(doing) \(Self.quoted(path)): \(String(cString: strerror(error)))")
    }

    public var description: String { message }

    static func quoted(_ path: String) -> String { TarEntry.printable(Array(path.utf8)) }
}

/// Things that were left out or left as they are: the first ones in words, and how many there were.
public struct TreeWarnings: Sendable, Hashable {
    private static let limit = 20

    /// The first ones.
    public private(set) var messages: [String] = []
    /// All of them.
    public private(set) var count = 0

    public init() {}

    mutating func add(_ message: String) {
        count += 1
        if messages.count < Self.limit { messages.append(message) }
    }
}

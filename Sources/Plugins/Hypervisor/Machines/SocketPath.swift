import AgentCore
import Glibc
import SystemPackage

/// Paths of unix sockets, which the kernel bounds.
enum SocketPath {
    /// sun_path less its final NUL (unix(7)).
    static let limit = 107

    /// The path of a socket in a machine's directory.
    ///
    /// - Throws: ``AgentError`` `invalidArgument`, code `path_too_long`.
    static func make(_ name: String, in directory: FilePath) throws -> FilePath {
        let path = directory.appending(name)
        guard path.string.utf8.count <= limit else {
            throw AgentError(
                .invalidArgument,
                code: "path_too_long",
                "the socket path \(path) is longer than \(limit) bytes: choose a shorter runtime directory"
            )
        }
        return path
    }

    /// Removes sockets and files, those that are there.
    static func remove(_ paths: [FilePath]) {
        // Gone already is as good as removed; anything else shows when the directory is removed by its owner.
        for path in paths { _ = unlink(path.string) }
    }
}

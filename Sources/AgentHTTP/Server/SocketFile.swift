import AgentCore
import SystemPackage

#if canImport(Glibc)
import Glibc
#else
import Musl
#endif

/// The agent's socket in the file system.
///
/// It is bound under another name and renamed when its owner and mode are right, so that nobody finds it before, and
/// what a crashed agent left is replaced in one step.
struct SocketFile: Sendable {
    /// What a unix address holds, with its final NUL (unix(7)).
    private static let longestPath = 107

    let path: FilePath
    let group: UInt32?

    /// Where to bind.
    var temporaryPath: FilePath {
        var path = path
        let name = path.lastComponent?.string ?? "socket"
        path.removeLastComponent()
        path.append(".\(name).new")
        return path
    }

    /// Checks that the socket can be made here.
    ///
    /// - Throws: `invalidArgument` for a path that is too long, `busy` if another agent listens there.
    func check() throws(AgentError) {
        guard temporaryPath.string.utf8.count <= Self.longestPath else {
            throw AgentError(
                .invalidArgument,
                code: "invalid_socket_path",
                "socket path '\(path)' is too long: the kernel allows \(Self.longestPath - 5) bytes"
            )
        }
        guard !isAlive else {
            throw AgentError(.busy, code: "socket_in_use", "another agent listens on \(path): stop it first")
        }
    }

    /// Gives the bound socket its owner, mode and name.
    func publish() throws(AgentError) {
        let temporary = temporaryPath.string
        guard chown(temporary, uid_t.max, group ?? gid_t.max) == 0, chmod(temporary, group == nil ? 0o600 : 0o660) == 0,
            rename(temporary, path.string) == 0
        else {
            throw AgentError(
                .unavailable,
                "cannot set up the socket \(path): \(Errno(rawValue: errno)) (does its directory belong to the agent?)"
            )
        }
    }

    /// Removes the socket.
    func remove() {
        unlink(path.string)
    }

    /// Whether somebody accepts connections there.
    private var isAlive: Bool {
        let descriptor = socket(
            AF_UNIX,
            Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue),
            0
        )
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.string.utf8.prefix(Self.longestPath)) }
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        return result == 0 || errno == EAGAIN
    }
}

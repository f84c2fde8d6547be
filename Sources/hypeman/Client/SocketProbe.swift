import Foundation

/// Looks whether an agent listens on a socket, so that its absence is said at once and in plain words.
enum SocketProbe {
    static func check(_ endpoint: Endpoint) throws {
        guard case .socket(let path) = endpoint.transport else { return }
        guard path.utf8.count <= 107 else {
            throw CommandError("the socket's path '\(path)' is longer than the 107 bytes that the kernel allows")
        }
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard result != 0 else { return }
        switch errno {
        case EACCES, EPERM:
            throw CommandError(
                "you may not use the agent's socket \(path)",
                remedy: "use sudo, or join the socket's group"
            )
        case ENOENT, ECONNREFUSED, ENOTDIR:
            throw CommandError(
                "no agent listens on \(path)",
                remedy: "start it with 'systemctl start hypeman-agent', or set HYPEMAN_SOCKET or HYPEMAN_BASE_URL"
            )
        default:
            throw CommandError("cannot connect to \(path): \(String(cString: strerror(errno)))")
        }
    }
}

import AgentCore
import ArgumentParser
import Foundation
import Glibc
import SystemPackage

struct EndGuest: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "end-guest",
        abstract: "Asks the guest of a VM to end; what hypeman-vm@.service runs when it stops.",
        discussion: """
            It is for the host's shutdown: the instance's restart policy brings it back with the agent's next start. Without a VMM there is nothing to \
            do. If the agent does not answer, the VMM is systemd's to end.
            """
    )

    @Option(help: "How many seconds all of it may take.")
    var within = 60

    @Argument(help: "The instance's id.")
    var instance: String

    @Argument(help: "The VMM's process; none where it has ended already.")
    var vmm: Int32?

    func validate() throws {
        guard (10...3600).contains(within) else { throw ValidationError("--within takes 10 to 3600 seconds") }
        guard InstanceID(rawValue: instance) != nil else {
            throw ValidationError("'\(instance)' is not an instance's id")
        }
    }

    func run() throws {
        guard vmm != nil else { return }
        let configuration = try AgentConfiguration(environment: try Environment.load())
        // Half for the program; the rest for what follows if it does not end by itself.
        let body = #"{"timeout": "\#(within / 2)s", "host_shutdown": true}"#
        let request =
            "POST /instances/\(instance)/stop HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            + "Content-Length: \(body.utf8.count)\r\nConnection: close\r\n\r\n\(body)"
        let answer = try ask(configuration.socket, request)
        let words = answer.split(separator: " ", maxSplits: 2)
        guard words.count > 1, words[1] == "200" || words[1] == "404" else {
            throw AgentError(.unavailable, "the agent could not end the guest of \(instance): \(answer.prefix(500))")
        }
    }

    /// Sends a request, and returns the beginning of what comes back within the time that there is.
    ///
    /// Blocks; there is nothing else in this process.
    private func ask(_ socket: FilePath, _ request: String) throws -> String {
        func failure(_ what: String) -> AgentError {
            AgentError(.unavailable, "the agent at \(socket) \(what)", cause: Errno(rawValue: errno))
        }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let path = Array(socket.string.utf8)
        guard path.count < MemoryLayout.size(ofValue: address.sun_path) else {
            throw AgentError(.invalidArgument, "the socket's path \(socket) is too long")
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path) }
        let descriptor = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw failure("cannot be reached") }
        defer { close(descriptor) }
        var patience = timeval(tv_sec: within, tv_usec: 0)
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            setsockopt(descriptor, SOL_SOCKET, option, &patience, socklen_t(MemoryLayout<timeval>.size))
        }
        let connected = withUnsafePointer(to: address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard connected == 0 else { throw failure("cannot be reached") }
        let bytes = Array(request.utf8)
        guard send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count else {
            throw failure("does not take a request")
        }
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = recv(descriptor, &buffer, buffer.count, 0)
        guard count > 0 else { throw failure("did not answer within \(within) seconds") }
        return String(decoding: buffer.prefix(count), as: UTF8.self)
    }
}

import AgentCore
import ArgumentParser
import CLinux
import Foundation
import Glibc
import SystemPackage

struct EndGuest: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "end-guest",
        abstract: "Asks the guest of a VM to end; what hypeman-vm@.service runs when it stops.",
        discussion: """
            It is for the host's shutdown: the instance's restart policy brings it back with the agent's next start. Without a VMM there is nothing to \
            do, and with its end it is done. If the agent does not answer, the VMM is systemd's to end.
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
        guard let vmm else { return }
        let process = clinux_pidfd_open(vmm)
        guard process >= 0 else {
            guard errno == ESRCH else { throw failure("the VMM (pid \(vmm)) cannot be watched") }
            return
        }
        defer { close(process) }
        let configuration = try AgentConfiguration(environment: try Environment.load())
        // Half for the program; the rest for what follows if it does not end by itself.
        let body = #"{"timeout": "\#(within / 2)s", "host_shutdown": true}"#
        let request =
            "POST /instances/\(instance)/stop HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            + "Content-Length: \(body.utf8.count)\r\nConnection: close\r\n\r\n\(body)"
        guard let answer = try ask(configuration.socket, request, until: process) else { return }
        let words = answer.split(separator: " ", maxSplits: 2)
        guard words.count > 1, words[1] == "200" || words[1] == "404" else {
            throw AgentError(.unavailable, "the agent could not end the guest of \(instance): \(answer.prefix(500))")
        }
    }

    private func failure(_ what: String) -> AgentError {
        AgentError(.unavailable, what, cause: Errno(rawValue: errno))
    }

    /// Sends a request, and returns the beginning of what comes back within the time that there is; nil if the process ends
    /// before.
    ///
    /// The agent answers once the unit is over as a whole, and that waits for this program. Blocks; there is nothing else in
    /// this process.
    private func ask(_ socket: FilePath, _ request: String, until process: Int32) throws -> String? {
        let descriptor = try connect(to: socket)
        defer { close(descriptor) }
        let bytes = Array(request.utf8)
        guard send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count else {
            throw failure("the agent at \(socket) does not take a request")
        }
        let events = Int16(POLLIN)
        var watched = [
            pollfd(fd: process, events: events, revents: 0), pollfd(fd: descriptor, events: events, revents: 0),
        ]
        let deadline = ContinuousClock.now + .seconds(within)
        while true {
            let rest = max(.zero, deadline - .now)
            let count = poll(&watched, nfds_t(watched.count), Int32(rest / .milliseconds(1)))
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                throw AgentError(.timeout, "the agent at \(socket) did not answer within \(within) seconds")
            }
            if watched[0].revents != 0 { return nil }
            var buffer = [UInt8](repeating: 0, count: 4096)
            let received = recv(descriptor, &buffer, buffer.count, 0)
            guard received > 0 else { throw failure("the agent at \(socket) gave no answer") }
            return String(decoding: buffer.prefix(received), as: UTF8.self)
        }
    }

    private func connect(to socket: FilePath) throws -> Int32 {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let path = Array(socket.string.utf8)
        guard path.count < MemoryLayout.size(ofValue: address.sun_path) else {
            throw AgentError(.invalidArgument, "the socket's path \(socket) is too long")
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path) }
        let descriptor = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw failure("there is no socket for the agent") }
        let connected = withUnsafePointer(to: address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard connected == 0 else {
            defer { close(descriptor) }
            throw failure("the agent at \(socket) cannot be reached")
        }
        return descriptor
    }
}

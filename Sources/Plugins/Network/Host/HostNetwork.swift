import AgentCore
import CNetwork
import Dispatch
import Glibc
import SystemPackage

/// The network of this host: where sockets are opened and tools are run.
///
/// That is the process's own network namespace, or one that `ip netns add` made: the tests live in those.
final class HostNetwork: Sendable {
    /// Under /run/netns (ip-netns(8)); nil is the process's own.
    let namespace: String?
    private let queue = DispatchQueue(label: "hypeman.network")

    init(namespace: String? = nil) {
        self.namespace = namespace
    }

    /// Runs work that may block for a moment, inside the namespace, one after the other and off the cooperative pool.
    ///
    /// Sockets and devices that are opened in it belong to the namespace for good, from whichever thread they are used.
    func run<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            queue.async { continuation.resume(with: Result { try self.inside(body) }) }
        }
    }

    /// Namespaces are a thread's, so the way back matters: the queue's next work may be given to any thread.
    private func inside<Value>(_ body: () throws -> Value) throws -> Value {
        guard let namespace else { return try body() }
        let own = try FileDescriptor.open("/proc/thread-self/ns/net", .readOnly, options: .closeOnExec)
        defer { Self.close(own) }
        let other: FileDescriptor
        do {
            other = try FileDescriptor.open("/run/netns/\(namespace)", .readOnly, options: .closeOnExec)
        } catch {
            throw AgentError(.notFound, "there is no network namespace '\(namespace)'", cause: error)
        }
        defer { Self.close(other) }
        let entered = cnetwork_enter(other.rawValue)
        guard entered == 0 else { throw Errno(rawValue: entered) }
        defer {
            let left = cnetwork_enter(own.rawValue)
            precondition(left == 0, "a thread cannot go back to its own network namespace: \(Errno(rawValue: left))")
        }
        return try body()
    }

    private static func close(_ descriptor: FileDescriptor) {
        // Only read from: there is nothing that closing could lose.
        _ = Glibc.close(descriptor.rawValue)
    }

    /// The command line that runs a program inside the namespace; it is executed in place, so that it keeps its pid.
    func command(_ executable: String, _ arguments: [String]) -> (executable: String, arguments: [String]) {
        guard let namespace else { return (executable, arguments) }
        return ("ip", ["netns", "exec", namespace, executable] + arguments)
    }
}

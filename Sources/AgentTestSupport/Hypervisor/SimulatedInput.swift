import AgentCore
import GuestProtocol
import Synchronization

/// A way into the program of a ``SimulatedGuest``, which copies its input.
final class SimulatedInput: GuestInput {
    private let guest: @Sendable () throws -> SimulatedGuest
    private let isClosed = Mutex(false)

    /// - Parameter guest: The guest, as long as there is a connection to it.
    init(guest: @escaping @Sendable () throws -> SimulatedGuest) { self.guest = guest }

    func write(_ bytes: [UInt8]) async throws {
        if isClosed.withLock({ $0 }) { throw AgentError(.invalidState, "the program's stdin is closed") }
        try guest().write(bytes, to: .stdout)
    }

    func closeInput() async throws {
        let isFirst = isClosed.withLock { isClosed in
            defer { isClosed = true }
            return !isClosed
        }
        if isFirst { try guest().exitProgram(GuestExit(code: 0)) }
    }

    func resize(_ size: TerminalSize) async throws {
        try guest().write(Array("\(size.rows) \(size.columns)\n".utf8), to: .stdout)
    }

    func leave() async { isClosed.withLock { $0 = true } }
}

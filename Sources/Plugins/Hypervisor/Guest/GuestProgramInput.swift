import AgentCore
import GuestProtocol
import GuestTransport
import NIOCore
import Synchronization

/// A way into the stdin and terminal of a guest's program, for as long as its stream lasts.
final class GuestProgramInput: GuestInput {
    private let stream: GuestStream
    private let state = Mutex(State())

    private struct State {
        var isClosed = false
        var hasLeft = false
    }

    init(stream: GuestStream) {
        self.stream = stream
    }

    func write(_ bytes: [UInt8]) async throws {
        try await stream.writeInput(bytes) {
            if state.withLock({ $0.isClosed }) { throw AgentError(.invalidState, "the program's stdin is closed") }
        }
    }

    func closeInput() async throws {
        let mustSend = state.withLock { state in
            defer { state.isClosed = true }
            return !state.isClosed
        }
        if mustSend { try await stream.write(ByteBuffer(frame: .stdinEnd, payload: [])) }
    }

    func resize(_ size: TerminalSize) async throws {
        if state.withLock({ $0.hasLeft }) { return }
        try await stream.write(ByteBuffer(frame: .resize, payload: try GuestJSON.encode(size)))
    }

    func leave() async {
        let mustSend = state.withLock { state in
            defer { (state.isClosed, state.hasLeft) = (true, true) }
            return !state.hasLeft
        }
        // Twice would be a breach of HTTP/2, which ends the connection.
        if mustSend { stream.finish() }
    }
}

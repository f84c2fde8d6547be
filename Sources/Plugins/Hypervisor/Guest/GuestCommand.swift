import AgentCore
import GuestProtocol
import GuestTransport
import NIOConcurrencyHelpers
import NIOCore

/// A command that runs in a guest, for as long as its stream lasts.
final class GuestCommand: GuestProcess {
    private struct State {
        var isInputClosed = false
        var hasEnded = false
        var isKilled = false
    }

    let events: AsyncThrowingStream<GuestProcessEvent, any Error>
    private let stream: GuestStream
    private let state: NIOLockedValueBox<State>

    init(stream: GuestStream) {
        self.stream = stream
        let state = NIOLockedValueBox(State())
        self.state = state
        let frames = GuestFrames { stream }
        events = AsyncThrowingStream { try await GuestCommand.next(of: frames, stream: stream, state: state) }
    }

    func write(_ bytes: [UInt8]) async throws {
        try await stream.writeInput(bytes) { try checkInput() }
    }

    func closeInput() async throws {
        let mustSend = state.withLockedValue { state in
            defer { state.isInputClosed = true }
            return !state.isInputClosed && !state.hasEnded
        }
        if mustSend { try await send(.stdinEnd, []) }
    }

    func resize(_ size: TerminalSize) async throws {
        guard !state.withLockedValue({ $0.hasEnded }) else { return }
        try await send(.resize, try GuestJSON.encode(size))
    }

    func signal(_ number: Int) async throws {
        guard let number = UInt8(exactly: number), (1...64).contains(number) else {
            throw AgentError(.invalidArgument, "no such signal: \(number)")
        }
        guard !state.withLockedValue({ $0.hasEnded }) else { return }
        try await send(.signal, [number])
    }

    func kill() async {
        state.withLockedValue { $0.isKilled = true }
        stream.reset()
    }

    private func checkInput() throws {
        let state = state.withLockedValue { $0 }
        if state.hasEnded || state.isKilled { throw AgentError(.invalidState, "the command has ended") }
        if state.isInputClosed { throw AgentError(.invalidState, "the command's stdin is closed") }
    }

    private func send(_ kind: GuestFrame.Kind, _ payload: [UInt8]) async throws {
        do {
            try await stream.write(ByteBuffer(frame: kind, payload: payload))
        } catch {
            // What no longer reaches a command that has ended is no failure.
            guard state.withLockedValue({ $0.hasEnded || $0.isKilled }) else { throw error }
        }
    }

    private static func next(
        of frames: GuestFrames,
        stream: GuestStream,
        state: NIOLockedValueBox<State>
    ) async throws -> GuestProcessEvent? {
        if state.withLockedValue({ $0.hasEnded }) { return nil }
        do {
            while let frame = try await frames.next() {
                switch frame.kind {
                case .stdout: return .output(.stdout, frame.payload)
                case .stderr: return .output(.stderr, frame.payload)
                case .exit:
                    let exit = try GuestJSON.decode(GuestExit.self, from: frame.payload)
                    state.withLockedValue { $0.hasEnded = true }
                    stream.finish()
                    return .exited(exit)
                default: continue
                }
            }
        } catch let error as AgentError {
            if state.withLockedValue({ $0.isKilled }) { throw AgentError(.cancelled, "the command was killed") }
            throw error
        } catch is CancellationError {
            throw CancellationError()
        } catch {
            stream.reset()
            throw AgentError(.unavailable, "the guest does not keep to the protocol", cause: error)
        }
        throw AgentError(.unavailable, "the guest did not say how the command ended")
    }
}

import Synchronization

/// Bytes on their way to one consumer, of which at most a fixed amount waits.
///
/// A guest writes its console without end if it likes to. It must never be made to wait by an agent that doesn't
/// read, nor fill the agent's memory: what comes when the buffer is full is dropped.
final class ConsoleBuffer: Sendable {
    private struct State {
        var bytes: [UInt8] = []
        var isFinished = false
        var consumer: CheckedContinuation<[UInt8]?, Never>?
    }

    private let capacity: Int
    private let state = Mutex(State())

    init(capacity: Int = 64 << 10) {
        self.capacity = capacity
    }

    /// The bytes as they come, joined while nobody asks.
    var stream: AsyncStream<[UInt8]> {
        AsyncStream(unfolding: { await self.next() }, onCancel: { self.wake() })
    }

    /// Takes as many of the bytes as there is room for.
    func append(_ bytes: some Collection<UInt8>) {
        let delivery = state.withLock { state -> (CheckedContinuation<[UInt8]?, Never>, [UInt8])? in
            guard !state.isFinished else { return nil }
            state.bytes += bytes.prefix(capacity - state.bytes.count)
            guard !state.bytes.isEmpty, let consumer = state.consumer else { return nil }
            defer { (state.consumer, state.bytes) = (nil, []) }
            return (consumer, state.bytes)
        }
        if let (consumer, bytes) = delivery { consumer.resume(returning: bytes) }
    }

    /// Nothing more comes; what waits is still delivered.
    func finish() {
        state.withLock { $0.isFinished = true }
        wake()
    }

    private func next() async -> [UInt8]? {
        await withCheckedContinuation { continuation in
            enum Outcome { case bytes([UInt8]?), waits(CheckedContinuation<[UInt8]?, Never>?) }
            let outcome = state.withLock { state -> Outcome in
                if !state.bytes.isEmpty {
                    defer { state.bytes = [] }
                    return .bytes(state.bytes)
                }
                if state.isFinished || Task.isCancelled { return .bytes(nil) }
                defer { state.consumer = continuation }
                return .waits(state.consumer)
            }
            switch outcome {
            case .bytes(let bytes): continuation.resume(returning: bytes)
            case .waits(let previous): previous?.resume(returning: nil)
            }
        }
    }

    private func wake() {
        let consumer = state.withLock { state in
            defer { state.consumer = nil }
            return state.consumer
        }
        consumer?.resume(returning: nil)
    }
}

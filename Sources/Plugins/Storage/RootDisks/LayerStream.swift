import AgentCore
import Dispatch
import Foundation
import Synchronization
import Tar

/// The bytes of one layer's tar: unpacked on a thread of its own and hashed on another, while the caller reads them.
///
/// Inflating takes most of a conversion's time, so what else there is to do is done beside it.
final class LayerStream: ChunkSource, Sendable {
    private static let caller = 0
    private static let hasher = 1

    private let ring: BufferRing
    private let threads = DispatchGroup()
    private let hash = Mutex<Result<Digest, any Error>?>(nil)

    /// Starts the threads; ``close()`` ends them.
    init(_ layer: LayerInput, meter: ProgressMeter, cancellation: Cancellation) {
        ring = BufferRing(readers: layer.diffID == nil ? 1 : 2)
        start("layer-unpack") { [ring] in
            ring.fill { try layer.open(cancellation, meter) }
        }
        guard layer.diffID != nil else { return }
        start("layer-hash") { [self] in
            let result = Result { try HashingSource.digest { try ring.next(Self.hasher) } }
            hash.withLock { $0 = result }
        }
    }

    func nextChunk() throws -> UnsafeRawBufferPointer { try ring.next(Self.caller) }

    /// Of the whole tar, once it was read to its end; nil for a layer that is not said to have one.
    func digest() throws -> Digest? {
        threads.wait()
        return try hash.withLock { $0 }?.get()
    }

    /// Ends the threads, wherever they are, and waits for them.
    func close() {
        ring.cancel()
        threads.wait()
    }

    private func start(_ name: String, _ body: @escaping @Sendable () -> Void) {
        threads.enter()
        let thread = Thread { [threads] in
            body()
            threads.leave()
        }
        thread.name = name
        thread.start()
    }
}

import AgentCore
import Synchronization

/// Room and removal, as a test's script says.
extension ScriptedImages {
    func prune(_ request: ImagePruneRequest) async throws -> ImagePruneReport {
        script.withLock { script in
            script.pruned.append(request)
            let chosen = script.images.filter { request.all || $0.status == .failed }
            if !request.dryRun { script.images.removeAll { chosen.contains($0) } }
            return ImagePruneReport(images: chosen, reclaimed: .mebibytes(chosen.count), isDryRun: request.dryRun)
        }
    }

    /// A few pieces, or a failure after some of them.
    func archive(_ reference: ImageReference) async throws -> ImageArchive {
        _ = try get(reference)
        let (pieces, failure) = script.withLock { ($0.archivePieces, $0.archiveFailure) }
        return ImageArchive(
            size: pieces.reduce(failure == nil ? 0 : 1) { $0 + $1.count },
            pieces: AsyncThrowingStream { continuation in
                for piece in pieces { continuation.yield(piece) }
                continuation.finish(throwing: failure)
            }
        )
    }

    func requireRoom(for size: ByteSize) async throws {
        guard let room = script.withLock({ $0.room }), size > room else { return }
        throw AgentError(.storageFull, code: "image_storage_full", "\(size) do not fit into \(room)")
    }
}

import AgentCore
import Synchronization

/// A blob that a client is sending.
final class UploadSession: Sendable {
    /// nil once it was finished or given up.
    private let file: Mutex<BlobFile?>
    private let lastUse: Mutex<ContinuousClock.Instant>

    init(in store: ContentStore, now: ContinuousClock.Instant) throws {
        file = Mutex(try BlobFile(in: store))
        lastUse = Mutex(now)
    }

    deinit { discard() }

    func isIdle(since limit: ContinuousClock.Instant) -> Bool { lastUse.withLock { $0 < limit } }

    func use(at now: ContinuousClock.Instant) { lastUse.withLock { $0 = now } }

    // MARK: On a thread that may block

    /// How many bytes are here; nil if it is over.
    func count() -> Int? { file.withLock { $0?.count } }

    /// Adds bytes; false if it is over.
    ///
    /// - Throws: As ``ImageUploads/append(_:to:at:)``.
    func append(_ bytes: [UInt8], at offset: Int, limit: ByteSize) throws -> Bool {
        try file.withLock { file in
            guard let blob = file else { return false }
            guard blob.count == offset else {
                throw AgentError(
                    .invalidState,
                    code: "upload_offset",
                    "the upload goes on at byte \(blob.count), not at \(offset)"
                )
            }
            do {
                guard blob.count + bytes.count <= limit.bytes else {
                    throw AgentError(
                        .quotaExceeded,
                        code: "blob_too_large",
                        "the blob is larger than the \(limit.bytes) bytes that are allowed"
                    )
                }
                try bytes.withUnsafeBytes { try blob.append($0) }
            } catch {
                // What was hashed and what was written may differ now.
                blob.discard()
                file = nil
                throw error
            }
            return true
        }
    }

    /// Verifies the bytes and makes them a blob; false if it is over.
    func finish(as digest: Digest, in store: ContentStore) throws -> Bool {
        try file.withLock { file in
            guard let blob = file else { return false }
            file = nil
            try store.pin(digest) { try blob.keep(as: digest) }
            return true
        }
    }

    func discard() {
        file.withLock { file in
            file?.discard()
            file = nil
        }
    }
}

public import AgentCore
import Synchronization
import SystemPackage

/// Takes in what clients push, into the ``ContentStore``.
public final class BlobUploads: ImageUploads {
    let store: ContentStore
    let limits: ImageLimits
    private let bounds: UploadLimits
    private let sessions = Mutex<[UploadID: UploadSession]>([:])
    private let now: @Sendable () -> ContinuousClock.Instant

    public convenience init(store: ContentStore, configuration: StorageConfiguration) {
        self.init(store: store, configuration: configuration, now: { .now })
    }

    /// The same with a clock by which uploads grow old.
    init(
        store: ContentStore,
        configuration: StorageConfiguration,
        now: @escaping @Sendable () -> ContinuousClock.Instant
    ) {
        self.store = store
        limits = configuration.imageLimits
        bounds = configuration.uploadLimits
        self.now = now
    }

    // MARK: Blobs

    public func keep(_ blob: Digest) async throws -> Int? {
        try await Blocking.short { [store] in try store.pin(blob) }
    }

    public func read(_ blob: Digest) async throws -> (any BlobReader)? {
        try await Blocking.short { [store] in try FileBlobReader(store.blobPath(blob)) }
    }

    // MARK: Uploads

    public func begin() async throws -> UploadID {
        let id = UploadID.random()
        let session = try await Blocking.short { [store, now] in try UploadSession(in: store, now: now()) }
        try sessions.withLock { sessions in
            guard sessions.count < bounds.maximumUploads else {
                throw AgentError(
                    .rateLimited,
                    code: "too_many_uploads",
                    "\(sessions.count) uploads are open, which is as many as there may be; try again later"
                )
            }
            sessions[id] = session
        }
        return id
    }

    public func received(by upload: UploadID) async throws -> Int {
        let session = try session(upload)
        guard let count = try await Blocking.short({ session.count() }) else { throw unknown(upload) }
        return count
    }

    public func append(_ bytes: [UInt8], to upload: UploadID, at offset: Int) async throws {
        let session = try session(upload)
        let limit = bounds.maximumBlob
        do {
            guard try await Blocking.short({ try session.append(bytes, at: offset, limit: limit) }) else {
                throw unknown(upload)
            }
        } catch let error as AgentError where error.code == "upload_offset" {
            throw error
        } catch {
            forget(upload)
            throw error
        }
    }

    public func finish(_ upload: UploadID, as digest: Digest) async throws {
        let session = try session(upload)
        forget(upload)
        // On a thread of its own: the disk may need a while to take in what the memory took.
        guard try await Blocking.long("upload", { [store] _ in try session.finish(as: digest, in: store) }) else {
            throw unknown(upload)
        }
    }

    public func cancel(_ upload: UploadID) async throws {
        let session = try session(upload)
        forget(upload)
        try await Blocking.short { session.discard() }
    }

    private func session(_ upload: UploadID) throws(AgentError) -> UploadSession {
        guard let session = sessions.withLock({ $0[upload] }) else { throw unknown(upload) }
        session.use(at: now())
        return session
    }

    private func forget(_ upload: UploadID) { sessions.withLock { $0[upload] = nil } }

    private func unknown(_ upload: UploadID) -> AgentError {
        AgentError(
            .notFound,
            code: "upload_unknown",
            "there is no upload \(upload): it was finished or given up, or the agent was restarted; begin again"
        )
    }

    // MARK: Time

    public func expire() async throws -> Bool {
        let limit = now() - bounds.maximumIdle
        let idle = sessions.withLock { sessions in
            let idle = sessions.filter { $0.value.isIdle(since: limit) }
            for id in idle.keys { sessions[id] = nil }
            return Array(idle.values)
        }
        return try await Blocking.short { [store] in
            for session in idle { session.discard() }
            return try store.expirePins()
        }
    }
}

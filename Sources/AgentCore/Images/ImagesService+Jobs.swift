import Logging
import Synchronization

extension ImagesService {
    /// Gets an image in the background, unless that is under way already for its digest.
    func startFetching(_ reference: ImageReference, _ digest: Digest, _ credentials: RegistryCredentials? = nil) {
        startJob(digest) { [self] in
            await update(digest, .fetchBegan)
            let fetched = try await registry.fetch(reference, digest: digest, credentials: credentials) { [weak self] in
                self?.report($0, of: digest)
            }
            try await build(fetched)
        }
    }

    /// Builds the root disk of an image that is here, in the background.
    ///
    /// - Returns: false if that is under way already.
    func startBuilding(_ fetched: FetchedImage) -> Bool {
        startJob(fetched.digest) { [self] in try await build(fetched) }
    }

    private func build(_ fetched: FetchedImage) async throws {
        await update(fetched.digest, .conversionBegan)
        let disk = try await builder.build(fetched) { [weak self] in self?.report($0, of: fetched.digest) }
        await update(fetched.digest, .diskReady) { image in
            image.configuration = fetched.configuration
            image.diskSize = disk.size
        }
    }

    @discardableResult
    private func startJob(_ digest: Digest, _ body: @escaping @Sendable () async throws -> Void) -> Bool {
        state.withLock { state in
            guard state.jobs[digest] == nil, !state.isShutDown else { return false }
            state.progress[digest] = ImageProgress(status: .pending, completed: 0, total: nil)
            state.jobs[digest] = Task {
                do {
                    try await turns.withTurn(body)
                } catch is CancellationError {
                    // Deleted, or the agent stops: a pull goes on at the next start.
                } catch {
                    logger.warning("image failed", metadata: ["digest": "\(digest)", "error": "\(error)"])
                    await update(digest, .failed("\(error)"))
                    // What did not fit must not stay in the way of what would.
                    if (error as? AgentError)?.kind == .storageFull { await collectGarbage() }
                }
                endJob(digest)
            }
            return true
        }
    }

    private func endJob(_ digest: Digest) {
        let watchers = state.withLock { state in
            state.jobs[digest] = nil
            state.progress[digest] = nil
            return state.watchers.removeValue(forKey: digest).map { Array($0.values) } ?? []
        }
        for watcher in watchers { watcher.finish() }
    }

    /// Tells every name of a digest what happened; it counts even if it cannot be stored, since it has happened.
    private func update(
        _ digest: Digest,
        _ event: ImageStateMachine.Event,
        _ change: (inout Image) -> Void = { _ in }
    ) async {
        for name in list().filter({ $0.digest == digest }).map(\.name) {
            var status: ImageStatus?
            do {
                try await records.withTurn {
                    // Deleted meanwhile, or the name of another digest by now.
                    guard var image = state.withLock({ $0.images[name] }), image.digest == digest,
                        image.handle(event) != nil
                    else { return }
                    change(&image)
                    status = image.status
                    try await record(image)
                }
            } catch is CancellationError {
                return
            } catch {
                logger.error("image state not stored", metadata: ["image": "\(name)", "error": "\(error)"])
                state.withLock { state in
                    guard var image = state.images[name], image.digest == digest, image.handle(event) != nil else {
                        return
                    }
                    change(&image)
                    state.images[name] = image
                }
                feed.mark(name)
            }
            if let status { report(ImageProgress(status: status, completed: 0, total: nil), of: digest) }
        }
    }

    // MARK: Progress

    private func report(_ progress: ImageProgress, of digest: Digest) {
        let watchers = state.withLock { state in
            state.progress[digest] = progress
            return state.watchers[digest].map { Array($0.values) } ?? []
        }
        for watcher in watchers { watcher.yield(progress) }
    }

    /// How a pull or import goes: the newest state at once, then changes, until it is ready or failed.
    ///
    /// Steps that a slow consumer misses are skipped, never the last.
    public func progress(of reference: ImageReference) throws(AgentError) -> AsyncStream<ImageProgress> {
        let image = try get(reference)
        let (stream, continuation) = AsyncStream.makeStream(
            of: ImageProgress.self,
            bufferingPolicy: .bufferingNewest(1)
        )
        let watcher = state.withLock { state -> Int? in
            let now = state.progress[image.digest]
            continuation.yield(now ?? ImageProgress(status: image.status, completed: 0, total: nil))
            guard state.jobs[image.digest] != nil else { return nil }
            state.nextWatcher += 1
            state.watchers[image.digest, default: [:]][state.nextWatcher] = continuation
            return state.nextWatcher
        }
        guard let watcher else {
            continuation.finish()
            return stream
        }
        continuation.onTermination = { [weak self] _ in
            self?.state.withLock { state in
                state.watchers[image.digest]?[watcher] = nil
            }
        }
        return stream
    }

    // MARK: Start and stop of the agent

    /// Takes up what an earlier life of the agent left: pulls that were cut off begin again, imports that were cut off
    /// have failed, and what nobody needs is removed from disk.
    ///
    /// - Parameters:
    ///   - images: As they were stored.
    ///   - used: The digests that instances were made from; their root disks stay.
    /// - Throws: What the store says; what was not taken up yet is not known then.
    public func recover(_ images: [Image], keepingDisksOf used: [Digest]) async throws {
        state.withLock { state in
            for image in images { state.images[image.name] = image }
            state.usedAtStart = Set(used)
        }
        var isFetching = false
        for var image in images {
            let hasDisk = try await disks.rootDisk(of: image.digest) != nil
            guard let action = image.handle(.restarted(hasDisk: hasDisk)) else { continue }
            try await put(image)
            guard action == .fetch else { continue }
            do {
                startFetching(try ImageReference(image.name), image.digest)
                isFetching = true
            } catch {
                _ = image.handle(.failed("the pull cannot be taken up again: \(error)"))
                try await put(image)
            }
        }
        // What a pull brought before it was cut off is of use to the one that goes on.
        if !isFetching { await collectGarbage() }
    }

    /// Ends what is under way; partial downloads stay for the next start.
    public func shutDown() async {
        let jobs = state.withLock { state in
            state.isShutDown = true
            return Array(state.jobs.values)
        }
        for job in jobs { job.cancel() }
        for job in jobs { await job.value }
    }
}

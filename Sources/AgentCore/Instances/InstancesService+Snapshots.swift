extension InstancesService {
    /// Keeps an instance as it is now, which goes on as it was: one that runs stands still while its memory and its disk
    /// are written.
    ///
    /// - Throws: `invalidState` if its state does not fit the kind; `alreadyExists` `name_conflict`; `invalidArgument`
    ///   `invalid_tags`; `storageFull`; `notSupported` `snapshot_not_supported`. Nothing is left of one that failed.
    public func createSnapshot(_ reference: String, _ request: CreateSnapshotRequest) async throws -> Snapshot {
        try await createSnapshot(reference, request, as: .random())
    }

    /// The same, under an id that its caller has made for it and can name before the snapshot is there.
    public func createSnapshot(
        _ reference: String,
        _ request: CreateSnapshotRequest,
        as id: SnapshotID
    ) async throws -> Snapshot {
        let controller = try controller(reference)
        try Tags.validate(request.tags)
        try context.catalog.reserve(request.name)
        do {
            try await controller.perform(.snapshot) { try await $0.snapshot(request, as: id) }
        } catch {
            context.catalog.release(request.name)
            throw error
        }
        return try context.catalog.find(id.rawValue)
    }

    /// Which snapshots are new or gone, once that can be read here.
    public var snapshotFeed: ChangeFeed<SnapshotID> { context.catalog.feed }

    /// All that fit a filter, oldest first, from memory.
    public func snapshots(_ filter: SnapshotFilter = SnapshotFilter()) -> [Snapshot] {
        context.catalog.all().filter(filter.matches)
    }

    /// The snapshot of an id, a name, or a prefix of an id that fits no other.
    ///
    /// - Throws: `notFound`; `ambiguous`.
    public func snapshot(_ reference: String) throws(AgentError) -> Snapshot { try context.catalog.find(reference) }

    /// Removes a snapshot, whatever has become of its instance.
    ///
    /// - Throws: `notFound`; `ambiguous`.
    public func deleteSnapshot(_ reference: String) async throws {
        let snapshot = try context.catalog.find(reference)
        let event = EventDraft(time: context.time.now(), kind: .snapshotDeleted, subject: snapshot.id.rawValue)
        // What a crash leaves of its files goes at the next start.
        try await context.store.commit([.removeSnapshot(snapshot.id), .appendEvent(event)])
        context.catalog.remove(snapshot)
        context.directory.releaseImage(of: snapshot)
        try await context.snapshots.remove(snapshot.id)
    }

    /// Makes an instance what it was in a snapshot of its own; what it is now is lost.
    ///
    /// - Parameters:
    ///   - reference: Which instance; it is Stopped or in Standby.
    ///   - snapshot: Which of its snapshots.
    ///   - target: `running`, or the snapshot's own kind; nil is the latter.
    /// - Returns: The instance in that state.
    /// - Throws: `invalidState`; `invalidArgument` `snapshot_of_another_instance` or `invalid_target_state`; what
    ///   ``restore(_:)`` and ``start(_:_:)`` say.
    public func restoreSnapshot(
        _ reference: String,
        _ snapshot: String,
        to target: InstanceState?
    ) async throws -> Instance {
        let found = try context.catalog.find(snapshot)
        return try await perform(.restoreSnapshot, on: reference) { try await $0.bringBack(found, to: target) }
    }
}

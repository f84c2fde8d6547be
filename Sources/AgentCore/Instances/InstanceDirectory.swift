import Synchronization

/// The instances as they are, in memory: what every read is answered from.
///
/// Holds only what is stored; a name is taken from the moment a create is accepted until the delete is done.
public final class InstanceDirectory: Sendable {
    private struct State {
        var instances: [InstanceID: Instance] = [:]
        var names: [InstanceName: InstanceID] = [:]
        var watchers: [InstanceID: [Int: AsyncStream<Instance>.Continuation]] = [:]
        var nextWatcher = 0
        var snapshotImages: [SnapshotID: Digest] = [:]
    }

    private let state = Mutex(State())
    /// Which instances are new, changed or gone, once that can be read here.
    public let feed = ChangeFeed<InstanceID>()

    /// An empty one.
    public init() {}

    /// All of them, oldest first.
    public func all() -> [Instance] {
        state.withLock { Array($0.instances.values) }.sorted {
            ($0.createdAt, $0.id.rawValue) < ($1.createdAt, $1.id.rawValue)
        }
    }

    /// By its id.
    public func get(_ id: InstanceID) -> Instance? { state.withLock { $0.instances[id] } }

    /// By its id, its name, or a prefix of its id that fits no other, in this order.
    ///
    /// - Throws: `notFound`; `ambiguous`, naming some that fit.
    public func find(_ reference: String) throws(AgentError) -> Instance {
        let found: [Instance] = state.withLock { state in
            if let id = InstanceID(rawValue: reference), let instance = state.instances[id] { return [instance] }
            if let name = try? InstanceName(reference), let id = state.names[name], let instance = state.instances[id] {
                return [instance]
            }
            guard !reference.isEmpty else { return [] }
            return state.instances.values.filter { $0.id.rawValue.hasPrefix(reference) }
        }
        guard let instance = found.first else {
            throw AgentError(.notFound, "no instance has the id, name or id prefix '\(reference.prefix(80))'")
        }
        guard found.count == 1 else {
            let names = found.map { "\($0.id) (\($0.name))" }.sorted().prefix(5).joined(separator: ", ")
            throw AgentError(
                .ambiguous,
                "'\(reference)' is the beginning of \(found.count) ids: \(names); give more of the id, or the name"
            )
        }
        return instance
    }

    // MARK: Images

    /// The images that instances, and snapshots from which there may be forks, were made from.
    func images() -> Set<Digest> {
        state.withLock { state in
            Set(state.instances.values.map(\.specification.imageDigest)).union(state.snapshotImages.values)
        }
    }

    /// Who needs an image, in words; nil if nobody does.
    func user(of image: Digest) -> String? {
        state.withLock { state in
            if let instance = state.instances.values.first(where: { $0.specification.imageDigest == image }) {
                return "instance '\(instance.name)' (\(instance.id))"
            }
            return state.snapshotImages.first { $0.value == image }.map { "snapshot \($0.key)" }
        }
    }

    /// The image of a snapshot is needed until that is removed.
    func keepImage(of snapshot: Snapshot) {
        state.withLock { $0.snapshotImages[snapshot.id] = snapshot.specification?.imageDigest }
    }

    /// A snapshot is removed.
    func releaseImage(of snapshot: Snapshot) { state.withLock { $0.snapshotImages[snapshot.id] = nil } }

    // MARK: Changes

    /// Takes a name for an instance that is about to be created.
    ///
    /// - Throws: `alreadyExists` `name_conflict`.
    func reserve(_ name: InstanceName, for id: InstanceID) throws(AgentError) {
        let holder = state.withLock { state -> InstanceID? in
            if let holder = state.names[name] { return holder }
            state.names[name] = id
            return nil
        }
        if let holder {
            throw AgentError(
                .alreadyExists,
                code: "name_conflict",
                "the name '\(name)' is taken by instance \(holder); choose another, or delete that one first"
            )
        }
    }

    /// Gives a name back if its instance was never stored.
    func release(_ name: InstanceName, for id: InstanceID) {
        state.withLock { state in
            if state.names[name] == id, state.instances[id] == nil { state.names[name] = nil }
        }
    }

    /// Shows a stored instance to all who ask or watch.
    func update(_ instance: Instance) {
        state.withLock { state in
            state.instances[instance.id] = instance
            state.names[instance.name] = instance.id
            for watcher in state.watchers[instance.id, default: [:]].values { watcher.yield(instance) }
        }
        feed.mark(instance.id)
    }

    /// Takes a deleted instance out; those who watch it see their stream end.
    func remove(_ id: InstanceID) {
        let watchers = state.withLock { state in
            if let instance = state.instances.removeValue(forKey: id), state.names[instance.name] == id {
                state.names[instance.name] = nil
            }
            return state.watchers.removeValue(forKey: id).map { Array($0.values) } ?? []
        }
        for watcher in watchers { watcher.finish() }
        feed.mark(id)
    }

    /// The instance as it is, then each change; ends when it is deleted.
    ///
    /// Empty if it isn't there.
    ///
    /// A watcher that falls 64 changes behind misses the oldest of them, never the newest.
    public func changes(of id: InstanceID) -> AsyncStream<Instance> {
        let (stream, continuation) = AsyncStream.makeStream(of: Instance.self, bufferingPolicy: .bufferingNewest(64))
        let watcher = state.withLock { state -> Int? in
            guard let instance = state.instances[id] else { return nil }
            state.nextWatcher += 1
            state.watchers[id, default: [:]][state.nextWatcher] = continuation
            continuation.yield(instance)
            return state.nextWatcher
        }
        guard let watcher else {
            continuation.finish()
            return stream
        }
        continuation.onTermination = { [weak self] _ in
            self?.state.withLock { state in
                state.watchers[id]?[watcher] = nil
                if state.watchers[id]?.isEmpty == true { state.watchers[id] = nil }
            }
        }
        return stream
    }
}

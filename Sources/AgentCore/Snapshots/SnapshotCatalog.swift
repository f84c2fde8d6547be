import Synchronization

/// The snapshots that there are, in memory: what every read is answered from.
final class SnapshotCatalog: Sendable {
    private struct State {
        var snapshots: [SnapshotID: Snapshot] = [:]
        /// Taken from the acceptance of a snapshot on.
        var names: Set<InstanceName> = []
    }

    private let state = Mutex(State())
    /// Which snapshots are new or gone, once that can be read here.
    let feed = ChangeFeed<SnapshotID>()

    /// Takes up what is stored.
    func restore(_ snapshots: [Snapshot]) {
        state.withLock { state in
            state.snapshots = Dictionary(uniqueKeysWithValues: snapshots.map { ($0.id, $0) })
            state.names = Set(snapshots.compactMap(\.name))
        }
    }

    /// All of them, oldest first.
    func all() -> [Snapshot] {
        state.withLock { Array($0.snapshots.values) }.sorted {
            ($0.createdAt, $0.id.rawValue) < ($1.createdAt, $1.id.rawValue)
        }
    }

    /// By its id, its name, or a prefix of its id that fits no other, in this order.
    ///
    /// - Throws: `notFound`; `ambiguous`.
    func find(_ reference: String) throws(AgentError) -> Snapshot {
        let all = all()
        if let exact = all.first(where: { $0.id.rawValue == reference }) { return exact }
        if let named = all.first(where: { $0.name?.rawValue == reference }) { return named }
        let found = reference.isEmpty ? [] : all.filter { $0.id.rawValue.hasPrefix(reference) }
        guard let snapshot = found.first else {
            throw AgentError(.notFound, "no snapshot has the id, name or id prefix '\(reference.prefix(80))'")
        }
        guard found.count == 1 else {
            throw AgentError(
                .ambiguous,
                "'\(reference)' is the beginning of \(found.count) snapshots' ids; give more of it, or the name"
            )
        }
        return snapshot
    }

    /// Takes a name for a snapshot that is about to be made.
    ///
    /// - Throws: `alreadyExists` `name_conflict`.
    func reserve(_ name: InstanceName?) throws(AgentError) {
        guard let name else { return }
        guard state.withLock({ $0.names.insert(name).inserted }) else {
            throw AgentError(
                .alreadyExists,
                code: "name_conflict",
                "another snapshot has the name '\(name)'; choose another, or delete that one first"
            )
        }
    }

    /// Gives back the name of one that was not made.
    func release(_ name: InstanceName?) {
        if let name { state.withLock { _ = $0.names.remove(name) } }
    }

    /// Shows one that is stored.
    func add(_ snapshot: Snapshot) {
        state.withLock { $0.snapshots[snapshot.id] = snapshot }
        feed.mark(snapshot.id)
    }

    /// Takes one out, with its name.
    func remove(_ snapshot: Snapshot) {
        state.withLock { state in
            guard state.snapshots.removeValue(forKey: snapshot.id) != nil, let name = snapshot.name else { return }
            state.names.remove(name)
        }
        feed.mark(snapshot.id)
    }
}

import Synchronization

/// The volumes that there are and who has them, in memory: what every read is answered from, and where it is decided who
/// may have one.
final class VolumeCatalog: Sendable {
    /// A volume's place, taken before it is made.
    struct Reservation: Sendable {
        var id: VolumeID
        var name: VolumeName
        var size: ByteSize
    }

    private struct State {
        var volumes: [VolumeID: Volume] = [:]
        var reservations: [VolumeID: Reservation] = [:]
        /// What they are growing to.
        var growth: [VolumeID: ByteSize] = [:]
        /// On their way out: nobody gets one any more.
        var leaving: Set<VolumeID> = []
        var users: [VolumeID: [InstanceID: VolumeAttachment]] = [:]
        var turns: [VolumeID: FairSemaphore] = [:]

        var total: Int {
            let there = volumes.values.reduce(0) { $0 + max($1.size, growth[$1.id] ?? $1.size).bytes }
            return reservations.values.reduce(there) { $0 + $1.size.bytes }
        }

        func volume(_ id: VolumeID) -> Volume? {
            guard var volume = volumes[id], !leaving.contains(id) else { return nil }
            volume.attachments = (users[id] ?? [:]).values.sorted {
                ($0.instanceName.rawValue, $0.instance.rawValue) < ($1.instanceName.rawValue, $1.instance.rawValue)
            }
            return volume
        }
    }

    private let state = Mutex(State())
    private let limit: ByteSize?
    /// Which volumes are new, changed or gone, once that can be read here.
    let feed = ChangeFeed<VolumeID>()

    /// - Parameter limit: Of all sizes together; nil is without.
    init(limit: ByteSize?) { self.limit = limit }

    /// Takes up what is stored: volumes, and what instances have, or may have, of them.
    func restore(_ volumes: [Volume], _ instances: [Instance]) {
        state.withLock { state in
            state.volumes = Dictionary(uniqueKeysWithValues: volumes.map { ($0.id, $0) })
            for instance in instances {
                for mount in instance.specification.volumes + [instance.volumeChange?.mount].compactMap(\.self) {
                    state.users[mount.volume, default: [:]][instance.id] = VolumeAttachment(instance, mount)
                }
            }
        }
    }

    // MARK: Reads

    /// All of them, oldest first.
    func all() -> [Volume] {
        state.withLock { state in state.volumes.keys.compactMap(state.volume) }.sorted {
            ($0.createdAt, $0.id.rawValue) < ($1.createdAt, $1.id.rawValue)
        }
    }

    /// By its id, its name, or a prefix of its id that fits no other, in this order.
    ///
    /// - Throws: `notFound`; `ambiguous`.
    func find(_ reference: String) throws(AgentError) -> Volume {
        let all = all()
        if let exact = all.first(where: { $0.id.rawValue == reference }) { return exact }
        if let named = all.first(where: { $0.name.rawValue == reference }) { return named }
        let found = reference.isEmpty ? [] : all.filter { $0.id.rawValue.hasPrefix(reference) }
        guard let volume = found.first else {
            throw AgentError(.notFound, "no volume has the id, name or id prefix '\(reference.prefix(80))'")
        }
        guard found.count == 1 else {
            throw AgentError(
                .ambiguous,
                "'\(reference)' is the beginning of \(found.count) volumes' ids; give more of it, or the name"
            )
        }
        return volume
    }

    /// Where work on one volume's disk waits for its turn.
    func turn(of id: VolumeID) -> FairSemaphore {
        state.withLock { state in
            if let turn = state.turns[id] { return turn }
            let turn = FairSemaphore(width: 1)
            state.turns[id] = turn
            return turn
        }
    }

    // MARK: Volumes

    /// Takes id, name and room for a volume that is about to be made.
    ///
    /// - Throws: `alreadyExists`, with `name_conflict` for the name; `quotaExceeded`.
    func reserve(_ new: Reservation) throws(AgentError) {
        let failure = state.withLock { state -> AgentError? in
            guard state.volumes[new.id] == nil, state.reservations[new.id] == nil else {
                return AgentError(.alreadyExists, "there is a volume with the id '\(new.id)' already; choose another")
            }
            let holder =
                state.volumes.values.first { $0.name == new.name }?.id
                ?? state.reservations.values.first { $0.name == new.name }?.id
            if let holder {
                return AgentError(
                    .alreadyExists,
                    code: "name_conflict",
                    "the name '\(new.name)' is taken by volume \(holder); choose another, or delete that one first"
                )
            }
            if let failure = excess(state.total, new.size.bytes) { return failure }
            state.reservations[new.id] = new
            return nil
        }
        if let failure { throw failure }
    }

    /// Takes room for a volume to grow into.
    ///
    /// - Throws: `quotaExceeded`; `notFound`.
    func reserveGrowth(of id: VolumeID, to size: ByteSize) throws(AgentError) {
        let failure = state.withLock { state -> AgentError? in
            guard let volume = state.volume(id) else { return Self.gone(id) }
            if let failure = excess(state.total, size.bytes - volume.size.bytes) { return failure }
            state.growth[id] = size
            return nil
        }
        if let failure { throw failure }
    }

    private func excess(_ total: Int, _ more: Int) -> AgentError? {
        guard let limit, more > limit.bytes - total else { return nil }
        return AgentError(
            .quotaExceeded,
            "volumes have \(ByteSize(bytes: total)) of the \(limit) that MAX_TOTAL_VOLUME_STORAGE allows, and this needs "
                + "\(ByteSize(bytes: more)) more; delete volumes that nobody needs, or raise the limit"
        )
    }

    /// Gives back what was taken for one that was not made, or not grown.
    func release(_ id: VolumeID) {
        state.withLock { state in
            state.reservations[id] = nil
            state.growth[id] = nil
        }
    }

    /// Shows one that is stored.
    func put(_ volume: Volume) {
        state.withLock { state in
            state.volumes[volume.id] = volume
            state.reservations[volume.id] = nil
            state.growth[volume.id] = nil
        }
        feed.mark(volume.id)
    }

    /// Keeps a volume from whoever wants it from now on.
    ///
    /// - Throws: `invalidState` `conflict`, naming who has it; `notFound` if it is gone or going already.
    func beginRemoval(of id: VolumeID) throws(AgentError) {
        let failure = state.withLock { state -> AgentError? in
            guard let volume = state.volume(id) else { return Self.gone(id) }
            guard volume.attachments.isEmpty else {
                return AgentError(
                    .invalidState,
                    code: "conflict",
                    "volume '\(volume.name)' is attached to \(Self.names(volume.attachments)); detach it, or delete the "
                        + "instance, first"
                )
            }
            state.leaving.insert(id)
            return nil
        }
        if let failure { throw failure }
        feed.mark(id)
    }

    /// It stays after all.
    func cancelRemoval(of id: VolumeID) {
        state.withLock { _ = $0.leaving.remove(id) }
        feed.mark(id)
    }

    /// Takes out one whose removal had begun, with its name.
    func remove(_ id: VolumeID) {
        state.withLock { state in
            state.volumes[id] = nil
            state.leaving.remove(id)
            state.turns[id] = nil
        }
    }

    // MARK: Who has them

    /// Gives an instance all of `mounts`, or none of them: read-write to one, or read-only to many.
    ///
    /// - Throws: `notFound`; `alreadyExists` if it has one already; `invalidState` `volume_in_use`, naming who has it.
    func claim(_ mounts: [VolumeMount], by instance: Instance) throws(AgentError) {
        let failure = state.withLock { state -> AgentError? in
            for mount in mounts {
                guard let volume = state.volume(mount.volume) else { return Self.gone(mount.volume) }
                if let own = volume.attachments.first(where: { $0.instance == instance.id }) {
                    return AgentError(
                        .alreadyExists,
                        code: "volume_attached",
                        "instance '\(instance.name)' has volume '\(volume.name)' already, on \(own.path)"
                    )
                }
                let hindering = volume.attachments.filter { !mount.readOnly || !$0.readOnly }
                guard hindering.isEmpty else {
                    let how = hindering.contains { !$0.readOnly } ? "read-write" : "read-only"
                    return AgentError(
                        .invalidState,
                        code: "volume_in_use",
                        "volume '\(volume.name)' is attached \(how) to \(Self.names(hindering)); it can be read-write in "
                            + "one instance, or read-only in many"
                    )
                }
            }
            for mount in mounts {
                state.users[mount.volume, default: [:]][instance.id] = VolumeAttachment(instance, mount)
            }
            return nil
        }
        if let failure { throw failure }
        for mount in mounts { feed.mark(mount.volume) }
    }

    /// Lets an instance have what it has, and nothing else.
    func settle(_ instance: InstanceID, on mounts: [VolumeMount]) {
        let released = state.withLock { state in
            let kept = Set(mounts.map(\.volume))
            return state.users.keys.filter { id in
                !kept.contains(id) && state.users[id]?.removeValue(forKey: instance) != nil
            }
        }
        for id in released { feed.mark(id) }
    }

    private static func names(_ attachments: [VolumeAttachment]) -> String {
        let names = attachments.prefix(5).map { "'\($0.instanceName)'" }.joined(separator: ", ")
        return (attachments.count == 1 ? "instance " : "instances ") + names + (attachments.count > 5 ? ", …" : "")
    }

    private static func gone(_ id: VolumeID) -> AgentError {
        AgentError(.notFound, "there is no volume \(id) any more")
    }
}

extension VolumeAttachment {
    init(_ instance: Instance, _ mount: VolumeMount) {
        self.init(
            instance: instance.id,
            instanceName: instance.name,
            path: mount.path,
            readOnly: mount.readOnly
        )
    }
}

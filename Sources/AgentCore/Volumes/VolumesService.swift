public import Logging
public import SystemPackage

/// Volumes: their life, and who has them.
///
/// Every transport calls this and nothing below it. A volume is named by its id, its name, or a prefix of its id that fits
/// no other; in this order.
public final class VolumesService: Sendable {
    /// The least that an ext4 with a journal needs.
    static let minimumSize = InstancesService.minimumOverlaySize
    /// As much as one that was made with blocks of 4 KiB can have (kernel, Documentation/filesystems/ext4).
    static let maximumSize = ByteSize.gibibytes(16 << 10)

    let catalog: VolumeCatalog
    /// Which volumes are new, changed or gone, once that can be read here.
    public var feed: ChangeFeed<VolumeID> { catalog.feed }
    private let state: any StateStore
    private let store: any VolumeStore
    private let instances: InstanceDirectory
    private let time: TimeSource
    private let logger: Logger

    /// Everything it needs; call ``recover(_:)`` once before anything else.
    public init(
        configuration: VolumesConfiguration,
        state: any StateStore,
        store: any VolumeStore,
        instances: InstanceDirectory,
        time: TimeSource,
        logger: Logger
    ) {
        catalog = VolumeCatalog(limit: configuration.maximumTotalSize)
        self.state = state
        self.store = store
        self.instances = instances
        self.time = time
        self.logger = logger
    }

    /// Takes up what an earlier life of the agent left, and removes what nobody owns: what was being made or deleted.
    ///
    /// Before the instances' own recovery, which starts what has volumes.
    ///
    /// - Throws: What the stores say; a single volume whose disk is missing says so when it is used.
    public func recover(_ stored: StoredState) async throws {
        catalog.restore(stored.volumes, stored.instances)
        try await store.prune(keeping: Set(stored.volumes.map(\.id)))
        for volume in stored.volumes {
            do {
                // It had grown when the agent's life ended, and nobody had written that down.
                let size = try await store.fingerprint(of: volume.id).size
                if size > volume.size { try await noteGrowth(of: volume, to: size) }
            } catch {
                logger.error("volume cannot be used", metadata: ["volume": "\(volume.id)", "error": "\(error)"])
            }
        }
    }

    // MARK: Reads

    /// All that fit a filter, oldest first, from memory.
    public func list(_ filter: VolumeFilter = VolumeFilter()) -> [Volume] { catalog.all().filter(filter.matches) }

    /// The volume that a reference names, from memory.
    ///
    /// - Throws: `notFound`; `ambiguous` if a prefix fits several.
    public func get(_ reference: String) throws(AgentError) -> Volume { try catalog.find(reference) }

    /// The host bytes that a volume really takes.
    public func usage(of id: VolumeID) async throws -> ByteSize { try await store.usage(of: id) }

    // MARK: Changes

    /// See ``VolumeStore/newArchiveFile()``.
    public func newArchiveFile() async throws -> FilePath { try await store.newArchiveFile() }

    /// Checks all of a request that can be checked without a volume: before an archive is received.
    ///
    /// - Throws: `invalidArgument` with the field's code, `alreadyExists`, `quotaExceeded`.
    public func check(_ request: CreateVolumeRequest) throws(AgentError) {
        try Tags.validate(request.tags)
        try Self.check(request.size)
        let reservation = VolumeCatalog.Reservation(
            id: request.id ?? .random(),
            name: request.name,
            size: request.size
        )
        try catalog.reserve(reservation)
        catalog.release(reservation.id)
    }

    /// Makes a volume.
    ///
    /// - Parameters:
    ///   - request: What it is to be.
    ///   - archive: What is to be in it, from ``newArchiveFile()``, which is gone afterwards; nil makes an empty one.
    /// - Returns: The volume.
    /// - Throws: As ``check(_:)`` and ``VolumeStore/create(_:size:from:)``. Nothing is left then.
    public func create(_ request: CreateVolumeRequest, from archive: FilePath? = nil) async throws -> Volume {
        let result: Result<Volume, any Error>
        do {
            result = .success(try await make(request, from: archive))
        } catch {
            result = .failure(error)
        }
        if let archive { await discard(archive) }
        return try result.get()
    }

    private func make(_ request: CreateVolumeRequest, from archive: FilePath?) async throws -> Volume {
        try Tags.validate(request.tags)
        try Self.check(request.size)
        let id = request.id ?? .random()
        try catalog.reserve(VolumeCatalog.Reservation(id: id, name: request.name, size: request.size))
        do {
            try await store.create(id, size: request.size, from: archive)
            let volume = Volume(
                id: id,
                name: request.name,
                size: request.size,
                tags: request.tags,
                createdAt: time.now()
            )
            try await state.commit([.putVolume(volume), .appendEvent(event(.volumeCreated, volume))])
            catalog.put(volume)
            logger.info("volume created", metadata: ["volume": "\(id)", "name": "\(volume.name)"])
            return volume
        } catch {
            await removeDisk(of: id)
            catalog.release(id)
            throw AgentError.wrapping(error, "volume '\(request.name)' could not be made")
        }
    }

    /// Removes a file of ``newArchiveFile()`` that nothing came of.
    public func discard(_ archive: FilePath) async {
        do {
            try await store.discard(archive)
        } catch {
            logger.warning("archive not removed", metadata: ["path": "\(archive)", "error": "\(error)"])
        }
    }

    /// Gives a volume more room, while no machine has it.
    ///
    /// Not while it is mounted: the disk of a machine that runs cannot be made larger by every hypervisor, and half of a
    /// growth, a larger disk with the file system of before, would be all that a guest that does not answer is left with.
    /// One that is as large already is returned as it is.
    ///
    /// - Throws: `invalidArgument` `invalid_size` for less than it has; `invalidState` `volume_in_use`, naming who has it;
    ///   `quotaExceeded`; `storageFull`.
    public func grow(_ reference: String, to size: ByteSize) async throws -> Volume {
        let id = try catalog.find(reference).id
        try Self.check(size)
        return try await catalog.turn(of: id).withTurn {
            let volume = try catalog.find(id.rawValue)
            guard size != volume.size else { return volume }
            guard size > volume.size else {
                throw AgentError(
                    .invalidArgument,
                    code: "invalid_size",
                    "volume '\(volume.name)' has \(volume.size) and cannot be made smaller, to \(size)"
                )
            }
            try requireRest(volume)
            try catalog.reserveGrowth(of: id, to: size)
            do {
                try await store.grow(id, to: size)
                try await noteGrowth(of: volume, to: size)
            } catch {
                catalog.release(id)
                throw AgentError.wrapping(error, "volume '\(volume.name)' could not be grown")
            }
            return try catalog.find(id.rawValue)
        }
    }

    private func noteGrowth(of volume: Volume, to size: ByteSize) async throws {
        var grown = volume
        grown.size = size
        grown.attachments = []
        try await state.commit([.putVolume(grown), .appendEvent(event(.volumeGrown, grown))])
        catalog.put(grown)
    }

    /// Whoever starts has to wait for its turn before it opens the disk, and has another state by then.
    private func requireRest(_ volume: Volume) throws(AgentError) {
        for attachment in volume.attachments {
            guard let instance = instances.get(attachment.instance), instance.state != .stopped else { continue }
            throw AgentError(
                .invalidState,
                code: "volume_in_use",
                "volume '\(volume.name)' cannot be grown while instance '\(instance.name)', which has it, is "
                    + "\(instance.state.rawValue): stop the instance, or detach the volume, first"
            )
        }
    }

    /// Removes a volume that nobody has.
    ///
    /// - Throws: `notFound`; `ambiguous`; `invalidState` `conflict`, naming who has it.
    public func delete(_ reference: String) async throws {
        let volume = try catalog.find(reference)
        try await catalog.turn(of: volume.id).withTurn {
            try catalog.beginRemoval(of: volume.id)
            do {
                try await state.commit([.removeVolume(volume.id), .appendEvent(event(.volumeDeleted, volume))])
            } catch {
                catalog.cancelRemoval(of: volume.id)
                throw error
            }
            // What a failure leaves of its disk goes at the next start; until then nobody can have the id.
            try await store.remove(volume.id)
            catalog.remove(volume.id)
        }
        logger.info("volume deleted", metadata: ["volume": "\(volume.id)", "name": "\(volume.name)"])
    }

    private func removeDisk(of id: VolumeID) async {
        do {
            // Also for a caller that was cancelled.
            try await Task { try await store.remove(id) }.value
        } catch {
            logger.error("volume's disk not removed", metadata: ["volume": "\(id)", "error": "\(error)"])
        }
    }

    private func event(_ kind: EventDraft.Kind, _ volume: Volume) -> EventDraft {
        EventDraft(
            time: time.now(),
            kind: kind,
            subject: volume.id.rawValue,
            attributes: ["name": volume.name.rawValue, "size": "\(volume.size.bytes)"]
        )
    }

    private static func check(_ size: ByteSize) throws(AgentError) {
        guard size >= minimumSize, size <= maximumSize else {
            throw AgentError(
                .invalidArgument,
                code: "invalid_size",
                "a volume of \(size) cannot be made: it can have from \(minimumSize) to \(maximumSize)"
            )
        }
    }
}

/// What instances do with volumes.
extension VolumesService {
    /// Which volumes a caller means.
    ///
    /// - Throws: `notFound`, `ambiguous`, and as ``VolumeMount/check(_:)``.
    func resolve(_ requests: [VolumeMountRequest]) throws(AgentError) -> [VolumeMount] {
        var mounts: [VolumeMount] = []
        for request in requests {
            mounts.append(
                VolumeMount(
                    volume: try catalog.find(request.volume).id,
                    path: request.path,
                    readOnly: request.readOnly,
                    overlaySize: request.overlaySize
                )
            )
        }
        try VolumeMount.check(mounts)
        return mounts
    }

    /// See ``VolumeStore/open(_:readOnly:)``; waits for what else is done with its disk.
    func open(_ mount: VolumeMount) async throws -> FilePath {
        try await catalog.turn(of: mount.volume).withTurn {
            try await store.open(mount.volume, readOnly: mount.readOnly)
        }
    }

    func fingerprint(of id: VolumeID) async throws -> DiskFingerprint { try await store.fingerprint(of: id) }
}

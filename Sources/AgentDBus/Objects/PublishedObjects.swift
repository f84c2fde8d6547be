import AgentCore
import DBus

/// The methods of each kind of object.
struct ObjectMethods: Sendable {
    var instance: @Sendable (InstanceID) -> [Interface.Member] = { _ in [] }
    var image: @Sendable (String) -> [Interface.Member] = { _ in [] }
    var volume: @Sendable (VolumeID) -> [Interface.Member] = { _ in [] }
    var snapshot: @Sendable (SnapshotID) -> [Interface.Member] = { _ in [] }
}

/// Keeps the objects of instances, images, volumes and snapshots what the services say, driven by their changes.
actor PublishedObjects {
    private enum Change {
        case none
        case appeared(Shown)
        case changed([String])
        case vanished
    }

    private let connection: Connection
    private let directory: InstanceDirectory
    private let instances: InstancesService
    private let images: ImagesService
    private let volumes: VolumesService
    private var methods = ObjectMethods()
    private var shownInstances: [InstanceID: Shown] = [:]
    private var shownImages: [String: Shown] = [:]
    private var shownVolumes: [VolumeID: Shown] = [:]
    private var shownSnapshots: [SnapshotID: Shown] = [:]

    init(
        connection: Connection,
        directory: InstanceDirectory,
        instances: InstancesService,
        images: ImagesService,
        volumes: VolumesService
    ) {
        self.connection = connection
        self.directory = directory
        self.instances = instances
        self.images = images
        self.volumes = volumes
    }

    /// Exports what there is and follows what changes, until it is cancelled.
    ///
    /// - Parameters:
    ///   - methods: Those of the objects.
    ///   - onShown: Is called once everything that there was is exported.
    func follow(_ methods: ObjectMethods, onShown: @Sendable () -> Void) async {
        self.methods = methods
        // Listened to first: what changes while the rest is read is read again.
        let instanceChanges = directory.feed.listen()
        let imageChanges = images.feed.listen()
        let volumeChanges = volumes.feed.listen()
        let snapshotChanges = instances.snapshotFeed.listen()
        for instance in directory.all() { await show(instance.id) }
        for image in images.list() { await show(imageNamed: image.name) }
        for volume in volumes.list() { await show(volume.id) }
        for snapshot in instances.snapshots() { await show(snapshot.id) }
        onShown()
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await Self.follow(instanceChanges) { await self.show($0) } }
            group.addTask { await Self.follow(imageChanges) { await self.show(imageNamed: $0) } }
            group.addTask { await Self.follow(volumeChanges) { await self.show($0) } }
            group.addTask { await Self.follow(snapshotChanges) { await self.show($0) } }
            await group.waitForAll()
        }
    }

    private static func follow<ID>(_ changes: ChangeListener<ID>, show: @Sendable (ID) async -> Void) async {
        while let changed = await changes.next() {
            for id in changed { await show(id) }
        }
        changes.stop()
    }

    /// Shows an instance as it is; returns when its object is there, or gone.
    func show(_ id: InstanceID) async {
        let change = Self.change(&shownInstances[id], to: directory.get(id), ObjectTables.instance)
        await apply(change, at: .instance(id), ObjectTables.instance, AgentInterface.instance) { methods.instance(id) }
    }

    /// Shows a volume as it is; returns when its object is there, or gone.
    func show(_ id: VolumeID) async {
        // A name or a prefix could be another's.
        let found = (try? volumes.get(id.rawValue)).flatMap { $0.id == id ? $0 : nil }
        let change = Self.change(&shownVolumes[id], to: found, ObjectTables.volume)
        await apply(change, at: .volume(id), ObjectTables.volume, AgentInterface.volume) { methods.volume(id) }
    }

    /// Shows a snapshot as it is; returns when its object is there, or gone.
    func show(_ id: SnapshotID) async {
        let found = (try? instances.snapshot(id.rawValue)).flatMap { $0.id == id ? $0 : nil }
        let change = Self.change(&shownSnapshots[id], to: found, ObjectTables.snapshot)
        await apply(change, at: .snapshot(id), ObjectTables.snapshot, AgentInterface.snapshot) { methods.snapshot(id) }
    }

    /// Shows an image as it is; returns when its object is there, or gone.
    func show(imageNamed name: String) async {
        // A name with a digest is also found by another name of the same; that has an object of its own.
        let found = (try? ImageReference(name)).flatMap { try? images.get($0) }
        let change = Self.change(&shownImages[name], to: found?.name == name ? found : nil, ObjectTables.image)
        await apply(change, at: .image(name), ObjectTables.image, AgentInterface.image) {
            methods.image(name)
        }
    }

    /// Shows what an operation was for as it is.
    func show(at path: ObjectPath) async {
        if let id = path.instance {
            await show(id)
        } else if let id = path.volume {
            await show(id)
        } else if let id = path.snapshot {
            await show(id)
        } else if let name = path.element(below: "images") {
            await show(imageNamed: name)
        }
    }

    private static func change<Subject: Sendable>(
        _ shown: inout Shown?,
        to subject: Subject?,
        _ table: PropertyTable<Subject>
    ) -> Change {
        switch (subject, shown) {
        case (nil, nil): return .none
        case (nil, _?):
            shown = nil
            return .vanished
        case (let subject?, nil):
            let new = table.shown(subject)
            shown = new
            return .appeared(new)
        case (let subject?, let shown?):
            let names = table.show(subject, on: shown)
            return names.isEmpty ? .none : .changed(names)
        }
    }

    /// The connection takes these in the order in which they were decided.
    private func apply<Subject: Sendable>(
        _ change: Change,
        at path: ObjectPath,
        _ table: PropertyTable<Subject>,
        _ interface: String,
        methods: () -> [Interface.Member]
    ) async {
        switch change {
        case .none: break
        case .appeared(let shown):
            await connection.export([Interface(interface, methods() + table.members(of: shown))], at: path)
        case .changed(let names): await connection.propertiesChanged(names, of: interface, at: path)
        case .vanished: await connection.unexport(path)
        }
    }
}

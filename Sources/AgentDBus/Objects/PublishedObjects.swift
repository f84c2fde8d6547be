import AgentCore
import DBus

/// Keeps the objects of instances and images what the services say, driven by their changes.
actor PublishedObjects {
    private enum Change<Subject: Sendable> {
        case none
        case appeared(Shown<Subject>)
        case changed([String])
        case vanished
    }

    private let connection: Connection
    private let directory: InstanceDirectory
    private let images: ImagesService
    private var instanceMethods: @Sendable (InstanceID) -> [Interface.Member] = { _ in [] }
    private var shownInstances: [InstanceID: Shown<Instance>] = [:]
    private var shownImages: [String: Shown<Image>] = [:]

    init(connection: Connection, directory: InstanceDirectory, images: ImagesService) {
        self.connection = connection
        self.directory = directory
        self.images = images
    }

    /// Exports what there is and follows what changes, until it is cancelled.
    ///
    /// - Parameters:
    ///   - instanceMethods: The methods of an instance's object.
    ///   - onShown: Is called once everything that there was is exported.
    func follow(
        instanceMethods: @escaping @Sendable (InstanceID) -> [Interface.Member],
        onShown: @Sendable () -> Void
    ) async {
        self.instanceMethods = instanceMethods
        // Listened to first: what changes while the rest is read is read again.
        let instanceChanges = directory.feed.listen()
        let imageChanges = images.feed.listen()
        for instance in directory.all() { await show(instance.id) }
        for image in images.list() { await show(imageNamed: image.name) }
        onShown()
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                while let changed = await instanceChanges.next() {
                    for id in changed { await self.show(id) }
                }
            }
            group.addTask {
                while let changed = await imageChanges.next() {
                    for name in changed { await self.show(imageNamed: name) }
                }
            }
            await group.waitForAll()
        }
        instanceChanges.stop()
        imageChanges.stop()
    }

    /// Shows an instance as it is; returns when its object is there, or gone.
    func show(_ id: InstanceID) async {
        let change = Self.change(&shownInstances[id], to: directory.get(id), ObjectTables.instance)
        await apply(change, at: .instance(id), ObjectTables.instance, AgentInterface.instance) { instanceMethods(id) }
    }

    /// Shows an image as it is; returns when its object is there, or gone.
    func show(imageNamed name: String) async {
        // A name with a digest is also found by another name of the same; that has an object of its own.
        let found = (try? ImageReference(name)).flatMap { try? images.get($0) }
        let change = Self.change(&shownImages[name], to: found?.name == name ? found : nil, ObjectTables.image)
        await apply(change, at: .image(name), ObjectTables.image, AgentInterface.image) {
            ImageMethods(name: name, images: images).members
        }
    }

    /// Shows what an operation was for as it is.
    func show(at path: ObjectPath) async {
        if let id = path.element(below: "instances").flatMap(InstanceID.init(rawValue:)) {
            await show(id)
        } else if let image = images.list().first(where: { ObjectPath.image($0.name) == path }) {
            await show(imageNamed: image.name)
        }
    }

    private static func change<Subject: Sendable>(
        _ shown: inout Shown<Subject>?,
        to subject: Subject?,
        _ table: PropertyTable<Subject>
    ) -> Change<Subject> {
        switch (subject, shown) {
        case (nil, nil): return .none
        case (nil, _?):
            shown = nil
            return .vanished
        case (let subject?, nil):
            let new = Shown(subject)
            shown = new
            return .appeared(new)
        case (let subject?, let shown?):
            let names = table.changes(from: shown.show(subject), to: subject)
            return names.isEmpty ? .none : .changed(names)
        }
    }

    /// The connection takes these in the order in which they were decided.
    private func apply<Subject: Sendable>(
        _ change: Change<Subject>,
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

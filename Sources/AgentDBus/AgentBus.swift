public import AgentCore
import DBus
public import Logging
public import ServiceLifecycle

/// The agent's objects on a message bus: `io.hypeman.Agent1`.
///
/// A thin skin as HTTP is: it decodes, authorises, calls the services and encodes. The agent needs no bus: one that goes away
/// is waited for.
public struct AgentBus: Service {
    /// The name that is owned on the bus.
    public static let name = "io.hypeman.Agent1"
    static let root = path("/io/hypeman/Agent1")

    private let configuration: DBusConfiguration
    private let instances: InstancesService
    private let images: ImagesService
    private let volumes: VolumesService
    private let resources: ResourcesService
    private let directory: InstanceDirectory
    private let network: any NetworkBackend
    private let hypervisors: [HypervisorName]
    private let logger: Logger

    public init(
        configuration: DBusConfiguration,
        instances: InstancesService,
        images: ImagesService,
        volumes: VolumesService,
        resources: ResourcesService,
        directory: InstanceDirectory,
        network: any NetworkBackend,
        drivers: [any HypervisorDriver],
        logger: Logger
    ) {
        self.configuration = configuration
        self.instances = instances
        self.images = images
        self.volumes = volumes
        self.resources = resources
        self.directory = directory
        self.network = network
        self.hypervisors = drivers.map(\.name)
        self.logger = logger
    }

    /// Is on the bus until the service group stops it; commands that were opened over it end then, instances go on.
    public func run() async throws { try await run(onOpen: {}) }

    /// The same, and says each time that it is on the bus.
    func run(onOpen: @escaping @Sendable () async -> Void) async throws {
        guard let address = configuration.address else {
            try? await gracefulShutdown()
            return
        }
        let targets = OperationTargets()
        let connection = Connection(
            address: address,
            authorizer: AgentAuthorizer(
                PolkitQuestions(directory: directory, instances: instances, volumes: volumes, operations: targets),
                logger: logger
            ),
            logger: logger
        )
        let published = PublishedObjects(
            connection: connection,
            directory: directory,
            instances: instances,
            images: images,
            volumes: volumes
        )
        let operations = OperationRegistry(
            connection: connection,
            published: published,
            targets: targets,
            logger: logger
        )
        let streams = CallerStreams(connection: connection, logger: logger)
        let manager = ManagerObject(
            instances: instances,
            images: images,
            volumes: volumes,
            resources: resources,
            network: network,
            published: published,
            operations: operations,
            hypervisors: hypervisors,
            logger: logger
        )
        await connection.export([manager.interface], at: Self.root, isObjectManager: true)
        if let shown = network.network {
            await connection.export([NetworkObject.interface(shown, of: network)], at: .network(shown.id))
        }
        try await connection.own(Self.name)
        let methods = methods(published, operations, streams)
        let isShown = OneShot<Void>()
        await cancelWhenGracefulShutdown {
            await withTaskGroup(of: Void.self) { group in
                group.addTask { await published.follow(methods) { isShown.fulfil(()) } }
                group.addTask {
                    // Who finds the name finds everything.
                    guard (try? await isShown.wait()) != nil else { return }
                    await connection.run(
                        retryAfter: .milliseconds(100) ... .seconds(30),
                        failureLevel: configuration.isRequired ? .warning : .info,
                        onOpen: onOpen
                    )
                }
                await group.waitForAll()
            }
        }
        await streams.endAll()
    }

    private func methods(
        _ published: PublishedObjects,
        _ operations: OperationRegistry,
        _ streams: CallerStreams
    ) -> ObjectMethods {
        let (instances, images, volumes) = (instances, images, volumes)
        return ObjectMethods(
            instance: { id in
                InstanceMethods(
                    id: id,
                    instances: instances,
                    images: images,
                    volumes: volumes,
                    published: published,
                    operations: operations,
                    streams: streams
                ).members
            },
            image: { ImageMethods(name: $0, images: images, published: published, streams: streams).members },
            volume: { id in
                VolumeMethods(id: id, volumes: volumes, published: published, operations: operations).members
            },
            snapshot: { id in
                SnapshotMethods(id: id, instances: instances, published: published, operations: operations).members
            }
        )
    }
}

extension ObjectPath {
    private static func below(_ kind: String, _ id: String) -> ObjectPath {
        AgentBus.root.appending(escaped: kind).appending(escaped: id)
    }

    static func instance(_ id: InstanceID) -> ObjectPath { below("instances", id.rawValue) }
    /// Of a name, with whatever it contains.
    static func image(_ name: String) -> ObjectPath { below("images", name) }
    static func volume(_ id: VolumeID) -> ObjectPath { below("volumes", id.rawValue) }
    static func snapshot(_ id: SnapshotID) -> ObjectPath { below("snapshots", id.rawValue) }
    static func network(_ id: String) -> ObjectPath { below("networks", id) }
    /// The element is not escaped: the contract is a plain number.
    static func operation(_ number: UInt32) -> ObjectPath { path("\(AgentBus.root)/operations/\(number)") }
    static func process(_ number: UInt32) -> ObjectPath { path("\(AgentBus.root)/processes/\(number)") }

    /// The id behind a path of one kind of object; nil for others.
    func element(below kind: String) -> String? {
        guard AgentBus.root.appending(escaped: kind).isAncestor(of: self) else { return nil }
        return lastElement
    }

    /// The instance that this is the path of, whether or not there is one.
    var instance: InstanceID? { element(below: "instances").flatMap(InstanceID.init(rawValue:)) }
    /// The volume that this is the path of, whether or not there is one.
    var volume: VolumeID? { element(below: "volumes").flatMap(VolumeID.init(rawValue:)) }
    /// The snapshot that this is the path of, whether or not there is one.
    var snapshot: SnapshotID? { element(below: "snapshots").flatMap(SnapshotID.init(rawValue:)) }
}

/// A path that is written here and so is one.
func path(_ text: String) -> ObjectPath {
    guard let path = ObjectPath(text) else { preconditionFailure("'\(text)' is no object path") }
    return path
}

/// The agent's interfaces, by their names without prefix.
enum AgentInterface {
    static let manager = name("Manager")
    static let instance = name("Instance")
    static let image = name("Image")
    static let volume = name("Volume")
    static let snapshot = name("Snapshot")
    static let network = name("Network")
    static let operation = name("Operation")
    static let process = name("Process")

    private static func name(_ short: String) -> String { "\(AgentBus.name).\(short)" }

    /// A full name without its prefix; nil for another's interface.
    static func short(_ name: String) -> String? {
        name.hasPrefix(AgentBus.name + ".") ? String(name.dropFirst(AgentBus.name.count + 1)) : nil
    }
}

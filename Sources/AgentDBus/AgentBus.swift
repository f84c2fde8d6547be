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
    private let directory: InstanceDirectory
    private let network: any NetworkBackend
    private let hypervisors: [HypervisorName]
    private let logger: Logger

    public init(
        configuration: DBusConfiguration,
        instances: InstancesService,
        images: ImagesService,
        directory: InstanceDirectory,
        network: any NetworkBackend,
        drivers: [any HypervisorDriver],
        logger: Logger
    ) {
        self.configuration = configuration
        self.instances = instances
        self.images = images
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
        let connection = Connection(
            address: address,
            authorizer: AgentAuthorizer(directory: directory, logger: logger),
            logger: logger
        )
        let published = PublishedObjects(connection: connection, directory: directory, images: images)
        let operations = OperationRegistry(connection: connection, published: published, logger: logger)
        let streams = CallerStreams(connection: connection, logger: logger)
        let manager = ManagerObject(
            instances: instances,
            images: images,
            published: published,
            operations: operations,
            hypervisors: hypervisors,
            hasNetwork: network.network != nil,
            logger: logger
        )
        await connection.export([manager.interface], at: Self.root, isObjectManager: true)
        if let network = network.network {
            await connection.export([NetworkObject.interface(network)], at: .network(network.id))
        }
        try await connection.own(Self.name)
        let methods: @Sendable (InstanceID) -> [Interface.Member] = { [instances] id in
            InstanceMethods(id: id, instances: instances, operations: operations, streams: streams).members
        }
        let isShown = OneShot<Void>()
        await cancelWhenGracefulShutdown {
            await withTaskGroup(of: Void.self) { group in
                group.addTask { await published.follow(instanceMethods: methods) { isShown.fulfil(()) } }
                group.addTask {
                    // Who finds the name finds everything.
                    guard (try? await isShown.wait()) != nil else { return }
                    await connection.run(
                        retryAfter: .milliseconds(100) ... .seconds(30),
                        failureLevel: configuration.isRequired ? .warning : .debug,
                        onOpen: onOpen
                    )
                }
                await group.waitForAll()
            }
        }
        await streams.endAll()
    }
}

extension ObjectPath {
    private static func below(_ kind: String, _ id: String) -> ObjectPath {
        AgentBus.root.appending(escaped: kind).appending(escaped: id)
    }

    static func instance(_ id: InstanceID) -> ObjectPath { below("instances", id.rawValue) }
    /// Of a name, with whatever it contains.
    static func image(_ name: String) -> ObjectPath { below("images", name) }
    static func network(_ id: String) -> ObjectPath { below("networks", id) }
    /// The element is not escaped: the contract is a plain number.
    static func operation(_ number: UInt32) -> ObjectPath { path("\(AgentBus.root)/operations/\(number)") }
    static func process(_ number: UInt32) -> ObjectPath { path("\(AgentBus.root)/processes/\(number)") }

    /// The id behind a path of one kind of object; nil for others.
    func element(below kind: String) -> String? {
        guard AgentBus.root.appending(escaped: kind).isAncestor(of: self) else { return nil }
        return lastElement
    }
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
    static let network = name("Network")
    static let operation = name("Operation")
    static let process = name("Process")

    private static func name(_ short: String) -> String { "\(AgentBus.name).\(short)" }

    /// A full name without its prefix; nil for another's interface.
    static func short(_ name: String) -> String? {
        name.hasPrefix(AgentBus.name + ".") ? String(name.dropFirst(AgentBus.name.count + 1)) : nil
    }
}

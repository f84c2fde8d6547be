public import AgentCore
import HummingbirdCore
import HummingbirdTLS
public import Logging
import NIOCore
import NIOPosix
import NIOSSL
public import ServiceLifecycle
import Synchronization
public import SystemPackage

/// Serves the API on a unix socket and, where there is a secret for its tokens, on TCP.
public struct AgentHTTPServer: Service {
    /// Where a listener accepts connections.
    public enum Address: Sendable, Hashable {
        case socket(FilePath)
        case port(Int)
    }

    private let configuration: HTTPConfiguration
    /// nil serves TCP without it.
    private let tls: TLSConfiguration?
    private let instances: any InstanceOperations
    private let images: any ImageOperations
    private let volumes: any VolumeOperations
    private let pushes: PushService
    private let resources: any ResourceOperations
    private let events: any EventOperations
    private let information: AgentInformation
    private let logger: Logger

    /// Prepares a server; nothing is opened before ``run()``.
    ///
    /// - Throws: ``AgentError`` `invalidArgument` `invalid_tls` for a certificate and key that TCP cannot be served with.
    public init(
        configuration: HTTPConfiguration,
        instances: any InstanceOperations,
        images: any ImageOperations,
        volumes: any VolumeOperations,
        pushes: PushService,
        resources: any ResourceOperations,
        events: any EventOperations,
        information: AgentInformation,
        logger: Logger
    ) throws(AgentError) {
        self.configuration = configuration
        // Without a secret there is no TCP, and nothing to secure.
        tls = configuration.jwtSecret == nil ? nil : try configuration.tls?.settings()
        self.instances = instances
        self.images = images
        self.volumes = volumes
        self.pushes = pushes
        self.resources = resources
        self.events = events
        self.information = information
        self.logger = logger
    }

    /// Serves until the service group stops it; exec sessions and followed logs end then, instances go on.
    ///
    /// - Throws: `busy` if another agent has the socket, `unavailable` if an address cannot be bound.
    public func run() async throws { try await run(onListening: { _ in }) }

    /// The same, and says where it listens as soon as it does.
    public func run(onListening: @escaping @Sendable (Address) async -> Void) async throws {
        let exec = ExecService(instances: instances, logger: logger)
        let authenticator = await Authenticator(
            secret: configuration.jwtSecret,
            socketGroup: configuration.socketGroup,
            limiter: FailureLimiter()
        )
        let responder = Responder(
            routes: RouteTable(
                try Self.routes(
                    instances: instances,
                    images: images,
                    volumes: volumes,
                    resources: resources,
                    events: events,
                    information: information
                )
            ),
            registry: RegistryEndpoint(pushes: pushes, authenticator: authenticator),
            authenticator: authenticator,
            logger: logger
        )
        let failure = Mutex<AgentError?>(nil)
        var services: [any Service] = []
        var socket: SocketFile?
        if let inherited = configuration.inheritedSocket {
            services.append(
                InheritedListener(
                    socket: inherited,
                    child: AgentChannel(isUnixSocket: true, responder: responder, exec: exec),
                    maximumConnections: configuration.maximumConnections,
                    onRunning: {
                        logger.info("listening", metadata: ["socket": "\(inherited.path)", "passed": "true"])
                        await onListening(.socket(inherited.path))
                    },
                    group: MultiThreadedEventLoopGroup.singleton,
                    logger: logger
                )
            )
        } else if let path = configuration.socketPath {
            let file = SocketFile(path: path, group: configuration.socketGroup)
            try await NIOThreadPool.singleton.runIfActive { try file.check() }
            socket = file
            services.append(
                listener(
                    .unixDomainSocket(path: file.temporaryPath.string),
                    AgentChannel(isUnixSocket: true, responder: responder, exec: exec)
                ) { channel in
                    do {
                        try await NIOThreadPool.singleton.runIfActive { try file.publish() }
                        logger.info("listening", metadata: ["socket": "\(file.path)"])
                        await onListening(.socket(file.path))
                    } catch {
                        failure.withLock { $0 = AgentError.wrapping(error, "cannot publish the socket") }
                        channel.close(promise: nil)
                    }
                }
            )
        }
        if let service = try network(responder, exec, onListening) { services.append(service) }
        guard !services.isEmpty else {
            throw AgentError(
                .invalidArgument,
                code: "no_listener",
                "the configuration names neither a socket nor a port with a secret"
            )
        }
        defer { socket?.remove() }
        do {
            try await ServiceGroup(configuration: .init(services: services, logger: logger)).run()
        } catch {
            if let failure = failure.withLock({ $0 }) { throw failure }
            throw AgentError(.unavailable, "cannot listen", cause: error)
        }
    }

    /// Every route of the agent.
    static func routes(
        instances: any InstanceOperations,
        images: any ImageOperations,
        volumes: any VolumeOperations,
        resources: any ResourceOperations,
        events: any EventOperations,
        information: AgentInformation
    ) throws -> [Route] {
        SystemRoutes(information: information, document: try PublishedDocument()).routes
            + ImageRoutes(images: images).routes
            + [ImportRoute(images: images, threads: .singleton).route]
            + ImageStorageRoutes(images: images, resources: resources).routes
            + InstanceRoutes(instances: instances).routes
            + LifecycleRoutes(instances: instances).routes
            + SnapshotRoutes(instances: instances).routes
            + VolumeRoutes(volumes: volumes, instances: instances, threads: .singleton).routes
            + ForkRoutes(instances: instances).routes
            + CopyRoutes(instances: instances).routes
            + [
                LogRoute(instances: instances).route, ExecRoute(instances: instances).route,
                AttachRoute(instances: instances).route, ConsoleRoute(instances: instances).route,
                ResourceRoute(resources: resources).route,
                EventRoute(events: events).route,
            ]
            + UnimplementedRoutes.routes
    }

    private func network(
        _ responder: Responder,
        _ exec: ExecService,
        _ onListening: @escaping @Sendable (Address) async -> Void
    ) throws -> (any Service)? {
        guard let port = configuration.port else { return nil }
        guard let secret = configuration.jwtSecret, !secret.isEmpty else {
            logger.warning(
                "no TCP listener: it needs a secret for its tokens",
                metadata: ["port": "\(port)", "set": "JWT_SECRET"]
            )
            return nil
        }
        if secret.utf8.count < 32 {
            logger.warning("the secret for tokens is shorter than the 32 bytes that HS256 asks for (RFC 7518, 3.2)")
        }
        let channel = AgentChannel(isUnixSocket: false, responder: responder, exec: exec)
        let address = configuration.bindAddress
        let logger = logger
        let announce: @Sendable (any Channel) async -> Void = { channel in
            let port = channel.localAddress?.port ?? port
            logger.info("listening", metadata: ["address": "\(address)", "port": "\(port)"])
            await onListening(.port(port))
        }
        guard let tls else {
            return listener(.hostname(address, port: port), channel, announce)
        }
        return listener(.hostname(address, port: port), try TLSChannel(channel, tlsConfiguration: tls), announce)
    }

    private func listener(
        _ address: BindAddress,
        _ channel: some ServerChildChannel,
        _ onRunning: @escaping @Sendable (any Channel) async -> Void
    ) -> any Service {
        channel.server(
            configuration: ServerConfiguration(
                address: address,
                availableConnectionsDelegate: .maximum(configuration.maximumConnections, logger: logger)
            ),
            onServerRunning: onRunning,
            eventLoopGroup: MultiThreadedEventLoopGroup.singleton,
            logger: logger
        )
    }
}

import AgentCore
import AgentDBus
import AgentHTTP
import AgentStore
import Foundation
import HypervisorPlugin
import Logging
import NetworkPlugin
import StoragePlugin
import SystemPackage

/// The composition root: the one place that names concrete types.
enum AgentGraph {
    /// The graph for a configuration; nothing is made or opened yet.
    ///
    /// - Parameters:
    ///   - configuration: Which plugins, and how.
    ///   - logger: Everyone's.
    ///   - socket: Where the API is served, if it is passed to this process; else the agent makes its own.
    ///   - root: What is built of it: the agent, or a tool that needs some of its parts.
    /// - Returns: The graph, unchecked.
    static func make(
        _ configuration: AgentConfiguration,
        logger: Logger,
        socket: InheritedSocket? = nil,
        root: ProviderSet = ProviderSet("agent") { provide(Agent.init) }
    ) -> Graph {
        let kind = SupervisorKind(configuration.supervisor)
        return Graph {
            ProviderSet("configuration") {
                value(configuration)
                value(logger)
                value(TimeSource.system)
                provide(InstancesConfiguration.init(agent:))
                provide(ImagesConfiguration.init(agent:))
                provide(VolumesConfiguration.init(agent:))
                provide(StorageConfiguration.init(agent:directory:))
                provide({ (agent: AgentConfiguration) in CloudHypervisorConfiguration(agent: agent, kind: kind) })
                provide(QEMUConfiguration.init(agent:))
                provide({ (agent: AgentConfiguration) in HTTPConfiguration(agent: agent, socket: socket) })
                provide(ResourcesConfiguration.init(agent:))
            }
            ProviderSet("state") {
                provide(DataDirectory.init, cleanup: { try $0.release() })
                provide(
                    { (directory: DataDirectory) in try SQLiteStateStore(path: directory.database) },
                    cleanup: { try $0.close() }
                )
                provide(EventFeed.init)
                provide({ (file: SQLiteStateStore, feed: EventFeed) in PublishingStateStore(base: file, feed: feed) })
                bind((any StateStore).self) { (it: PublishingStateStore) in it }
            }
            StoragePlugin.providers
            processes(kind)
            // In the order in which they are preferred.
            CloudHypervisorPlugin.providers
            QEMUPlugin.providers
            networkPlugin(configuration.network, kind)
            ProviderSet("core") {
                provide(InstanceDirectory.init)
                provide(HypervisorSelection.init)
                provide(ImagesService.init)
                provide(PushService.init)
                provide(VolumesService.init)
                provide(InstancesService.init)
                provide(ResourcesService.init)
                provide(EventsService.init)
            }
            ProviderSet("host") {
                provide({ (agent: AgentConfiguration) in LinuxHostProbe(agent: agent) })
                bind((any HostProbe).self) { (it: LinuxHostProbe) in it }
            }
            ProviderSet("http") {
                provide(AgentInformation.init(drivers:network:))
                bind((any InstanceOperations).self) { (it: InstancesService) in it }
                bind((any ImageOperations).self) { (it: ImagesService) in it }
                bind((any VolumeOperations).self) { (it: VolumesService) in it }
                bind((any ResourceOperations).self) { (it: ResourcesService) in it }
                bind((any EventOperations).self) { (it: EventsService) in it }
                provide(AgentHTTPServer.init)
            }
            ProviderSet("dbus") {
                provide(DBusConfiguration.init(agent:))
                provide(AgentBus.init)
            }
            root
        }
    }

    private static func processes(_ kind: SupervisorKind) -> ProviderSet {
        switch kind {
        case .systemd:
            ProviderSet("units") {
                provide(ProcessesConfiguration.init(agent:))
                ProcessesPlugin.providers(kind)
            }
        case .child: ProcessesPlugin.providers(kind)
        }
    }

    private static func networkPlugin(_ choice: NetworkChoice, _ kind: SupervisorKind) -> ProviderSet {
        switch choice {
        case .bridge:
            ProviderSet("network") {
                provide({ (agent: AgentConfiguration) in BridgeConfiguration(agent: agent, kind: kind) })
                BridgeNetworkPlugin.providers
            }
        case .none: NoNetworkPlugin.providers
        }
    }
}

extension InstancesConfiguration {
    init(agent: AgentConfiguration) throws {
        let guest = try GuestFiles(configuration: agent)
        self.init(
            runtimeDirectory: agent.runtimeDirectory,
            kernel: guest.kernel,
            initrd: guest.initrd,
            hypervisor: agent.hypervisor == .auto ? nil : HypervisorName(rawValue: agent.hypervisor.rawValue),
            maximumVCPUs: agent.maximumVCPUs,
            maximumMemory: agent.maximumMemory,
            maximumOverlaySize: agent.maximumOverlaySize,
            bootTimeout: agent.bootTimeout,
            totalVCPUs: agent.totalVCPUs,
            totalMemory: agent.totalMemory
        )
    }
}

extension ImagesConfiguration {
    init(agent: AgentConfiguration) { self.init(maximumConcurrentBuilds: agent.maximumConcurrentBuilds) }
}

extension VolumesConfiguration {
    init(agent: AgentConfiguration) { self.init(maximumTotalSize: agent.maximumTotalVolumeStorage) }
}

extension ResourcesConfiguration {
    init(agent: AgentConfiguration) {
        self.init(networkLimit: agent.networkLimit, networkOversubscription: agent.networkOversubscription)
    }
}

extension LinuxHostProbe {
    init(agent: AgentConfiguration) { self.init(dataDirectory: agent.dataDirectory, uplink: agent.uplink) }
}

extension StorageConfiguration {
    /// The data directory comes as the type that holds its lock, so that no file is touched before the lock is held.
    init(agent: AgentConfiguration, directory: DataDirectory) {
        self.init(
            dataDirectory: directory.path,
            insecureRegistries: Set(agent.insecureRegistries),
            registryAuthorities: agent.registryAuthorities,
            dockerConfigDirectory: agent.dockerConfigDirectory,
            maximumImageStorage: agent.maximumImageStorage,
            rootDiskCompression: agent.imageCompression,
            registryMirrors: agent.registryMirrors,
            proxies: agent.proxies,
            logLimits: LogLimits(maximumSize: agent.logMaximumSize, maximumFiles: agent.logMaximumFiles)
        )
    }
}

extension QEMUConfiguration {
    init(agent: AgentConfiguration) { self.init(executable: agent.qemu, accelerator: agent.accelerator) }
}

extension CloudHypervisorConfiguration {
    init(agent: AgentConfiguration, kind: SupervisorKind) {
        // A unit has nothing in its data directory but what it may open.
        let directories: [FilePath] =
            switch kind {
            case .systemd: [agent.dataDirectory]
            case .child: ["snapshots", "volumes"].map { agent.dataDirectory.appending($0) }
            }
        self.init(
            executables: agent.cloudHypervisors,
            accelerator: agent.accelerator,
            writableDirectories: directories
        )
    }
}

extension ProcessesConfiguration {
    init(agent: AgentConfiguration) { self.init(dataDirectory: agent.dataDirectory) }
}

extension BridgeConfiguration {
    init(agent: AgentConfiguration, kind: SupervisorKind) {
        self.init(
            bridge: agent.bridge,
            subnet: agent.subnet,
            gateway: agent.gateway,
            uplink: agent.uplink,
            dnsServers: agent.dnsServers,
            isolated: agent.isolated,
            directory: agent.runtimeDirectory.appending("network"),
            machineGroup: kind.machineGroup
        )
    }
}

extension HTTPConfiguration {
    init(agent: AgentConfiguration, socket: InheritedSocket? = nil) {
        var tls: TLS?
        if let certificate = agent.tlsCertificate, let key = agent.tlsKey {
            tls = TLS(certificate: certificate, key: key)
        }
        self.init(
            socketPath: agent.socket,
            inheritedSocket: socket,
            port: agent.port,
            bindAddress: agent.bindAddress,
            jwtSecret: agent.jwtSecret,
            tls: tls
        )
    }
}

extension DBusConfiguration {
    /// The bus's address comes from the process's environment, as for every program on it.
    init(agent: AgentConfiguration) throws {
        try self.init(agent.bus, environment: ProcessInfo.processInfo.environment)
    }
}

extension AgentInformation {
    init(drivers: [any HypervisorDriver], network: any NetworkBackend) async {
        var hypervisors: [HypervisorInformation] = []
        for driver in drivers {
            // One that does not work here is left out: `hypeman-agent check` says why, and so does a start that needs it.
            if let information = try? await driver.information() { hypervisors.append(information) }
        }
        self.init(version: AgentVersion.current, hypervisors: hypervisors, providesNetwork: network.network != nil)
    }
}

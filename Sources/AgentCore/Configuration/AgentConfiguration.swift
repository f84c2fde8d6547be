public import Logging
public import SystemPackage

/// Which hypervisor runs instances that name none.
public enum HypervisorChoice: String, Sendable, CaseIterable {
    case auto
    case cloudHypervisor = "cloud-hypervisor"
    case qemu
}

/// Which accelerator VMMs use.
public enum AcceleratorChoice: String, Sendable, CaseIterable {
    /// KVM where a guest really runs under it, software emulation otherwise.
    case auto
    case kvm
    case tcg
}

/// Which network backend instances get.
public enum NetworkChoice: String, Sendable, CaseIterable {
    case bridge
    case none
}

/// What starts VMMs and dnsmasq so that they outlive the agent.
public enum SupervisorChoice: String, Sendable, CaseIterable {
    /// Units where systemd runs and has them, children otherwise.
    case auto
    /// Units alone: the agent does not start without them.
    case systemd
    case child
}

/// The agent's configuration: every environment variable, read and checked.
public struct AgentConfiguration: Sendable {
    public var port: Int
    public var bindAddress: String
    public var jwtSecret: String?
    public var tlsCertificate: FilePath?
    public var tlsKey: FilePath?
    public var dataDirectory: FilePath
    public var runtimeDirectory: FilePath
    public var supervisor: SupervisorChoice
    public var socket: FilePath
    public var bus: BusChoice
    public var hypervisor: HypervisorChoice
    public var accelerator: AcceleratorChoice
    public var network: NetworkChoice
    public var bridge: String
    public var subnet: IPv4Subnet
    public var gateway: IPv4Address
    public var uplink: String?
    public var dnsServers: [IPv4Address]
    public var isolated: Bool
    public var networkLimit: BitRate?
    public var networkOversubscription: Double
    public var kernel: FilePath?
    public var initrd: FilePath?
    public var qemu: FilePath?
    /// The first starts new machines; empty looks in PATH.
    public var cloudHypervisors: [FilePath]
    public var maximumConcurrentBuilds: Int
    public var maximumImageStorage: ByteSize?
    public var imageCompression: RootDiskCompression
    public var maximumOverlaySize: ByteSize
    public var maximumTotalVolumeStorage: ByteSize?
    public var maximumVCPUs: Int
    public var maximumMemory: ByteSize
    /// vCPUs of all instances that run, together; nil is no limit.
    public var totalVCPUs: Int?
    /// Memory of all instances that run, together; nil is no limit.
    public var totalMemory: ByteSize?
    public var bootTimeout: Duration
    public var insecureRegistries: [String]
    public var registryAuthorities: FilePath?
    public var dockerConfigDirectory: FilePath?
    public var registryMirrors: [RegistryMirror]
    public var proxies: ProxyConfiguration
    public var logLevel: Logger.Level
    public var logMaximumSize: ByteSize
    public var logMaximumFiles: Int

    /// Reads an environment.
    ///
    /// - Throws: ``ConfigurationError`` with every value that does not parse; there is no silent default.
    public init(environment: [String: String]) throws(ConfigurationError) {
        var reader = ConfigurationReader(environment: environment)
        let port = reader.read(Variables.port)
        let bindAddress = reader.read(Variables.bindAddress)
        let jwtSecret = reader.read(Variables.jwtSecret)
        let tlsCertificate = reader.read(Variables.tlsCertificate)
        let tlsKey = reader.read(Variables.tlsKey)
        let dataDirectory = reader.read(Variables.dataDirectory)
        let runtimeDirectory = reader.read(Variables.runtimeDirectory)
        let supervisor = reader.read(Variables.supervisor)
        let socket = reader.read(Variables.socket)
        let bus = reader.read(Variables.bus)
        let hypervisor = reader.read(Variables.hypervisor)
        let accelerator = reader.read(Variables.accelerator)
        let network = reader.read(Variables.network)
        let bridge = reader.read(Variables.bridge)
        let subnet = reader.read(Variables.subnet)
        let gateway = reader.read(Variables.gateway)
        let uplink = reader.read(Variables.uplink)
        let dnsServers = reader.read(Variables.dnsServers)
        let isolated = reader.read(Variables.isolated)
        let networkLimit = reader.read(Variables.networkLimit)
        let networkOversubscription = reader.read(Variables.networkOversubscription)
        let kernel = reader.read(Variables.kernel)
        let initrd = reader.read(Variables.initrd)
        let qemu = reader.read(Variables.qemu)
        let cloudHypervisors = reader.read(Variables.cloudHypervisors)
        let maximumConcurrentBuilds = reader.read(Variables.maximumConcurrentBuilds)
        let maximumImageStorage = reader.read(Variables.maximumImageStorage)
        let imageCompression = reader.read(Variables.imageCompression)
        let maximumOverlaySize = reader.read(Variables.maximumOverlaySize)
        let maximumTotalVolumeStorage = reader.read(Variables.maximumTotalVolumeStorage)
        let maximumVCPUs = reader.read(Variables.maximumVCPUs)
        let maximumMemory = reader.read(Variables.maximumMemory)
        let totalVCPUs = reader.read(Variables.totalVCPUs)
        let totalMemory = reader.read(Variables.totalMemory)
        let bootTimeout = reader.read(Variables.bootTimeout)
        let insecureRegistries = reader.read(Variables.insecureRegistries)
        let registryAuthorities = reader.read(Variables.registryAuthorities)
        let dockerConfigDirectory = reader.read(Variables.dockerConfigDirectory)
        let registryMirrors = reader.read(Variables.registryMirrors)
        let httpProxy = reader.read(Variables.httpProxy)
        let httpsProxy = reader.read(Variables.httpsProxy)
        let proxyExceptions = reader.read(Variables.proxyExceptions)
        let logLevel = reader.read(Variables.logLevel)
        let logMaximumSize = reader.read(Variables.logMaximumSize)
        let logMaximumFiles = reader.read(Variables.logMaximumFiles)
        guard let port, let bindAddress, let jwtSecret, let tlsCertificate, let tlsKey, let dataDirectory,
            let runtimeDirectory, let supervisor,
            let socket, let bus, let hypervisor, let accelerator, let network, let bridge,
            let subnet, let gateway, let uplink, let dnsServers, let isolated, let networkLimit,
            let networkOversubscription, let kernel, let initrd, let qemu, let cloudHypervisors,
            let maximumConcurrentBuilds, let maximumImageStorage, let imageCompression,
            let maximumOverlaySize, let maximumVCPUs,
            let maximumTotalVolumeStorage, let maximumMemory, let totalVCPUs, let totalMemory, let bootTimeout,
            let insecureRegistries, let registryAuthorities, let dockerConfigDirectory, let registryMirrors,
            let httpProxy, let httpsProxy, let proxyExceptions, let logLevel,
            let logMaximumSize, let logMaximumFiles
        else { throw ConfigurationError(problems: reader.problems) }
        self.port = port
        self.bindAddress = bindAddress
        self.jwtSecret = jwtSecret
        self.tlsCertificate = tlsCertificate
        self.tlsKey = tlsKey
        self.dataDirectory = dataDirectory
        self.runtimeDirectory = runtimeDirectory
        self.supervisor = supervisor
        self.socket = socket ?? runtimeDirectory.appending("agent.sock")
        self.bus = bus
        self.hypervisor = hypervisor
        self.accelerator = accelerator
        self.network = network
        self.bridge = bridge
        self.subnet = subnet
        self.gateway = gateway ?? IPv4Address(value: subnet.hosts.lowerBound)
        self.uplink = uplink
        self.dnsServers = dnsServers
        self.isolated = isolated
        self.networkLimit = networkLimit
        self.networkOversubscription = networkOversubscription
        self.kernel = kernel
        self.initrd = initrd
        self.qemu = qemu
        self.cloudHypervisors = cloudHypervisors
        self.maximumConcurrentBuilds = maximumConcurrentBuilds
        self.maximumImageStorage = maximumImageStorage
        self.imageCompression = imageCompression
        self.maximumOverlaySize = maximumOverlaySize
        self.maximumTotalVolumeStorage = maximumTotalVolumeStorage
        self.maximumVCPUs = maximumVCPUs
        self.maximumMemory = maximumMemory
        self.totalVCPUs = totalVCPUs
        self.totalMemory = totalMemory
        self.bootTimeout = bootTimeout
        self.insecureRegistries = insecureRegistries
        self.registryAuthorities = registryAuthorities
        self.dockerConfigDirectory = dockerConfigDirectory
        self.registryMirrors = registryMirrors
        proxies = ProxyConfiguration(http: httpProxy, https: httpsProxy, exceptions: proxyExceptions)
        self.logLevel = logLevel
        self.logMaximumSize = logMaximumSize
        self.logMaximumFiles = logMaximumFiles
        try checkTLS()
        try checkNetwork()
    }

    private func checkNetwork() throws(ConfigurationError) {
        var problems: [ConfigurationProblem] = []
        if !subnet.hosts.contains(gateway.value) {
            problems.append(
                ConfigurationProblem(
                    name: Variables.gateway.name,
                    value: "'\(gateway)'",
                    expected: "an address of a host in \(subnet), which is what SUBNET_CIDR says"
                )
            )
        }
        if uplink == bridge {
            problems.append(
                ConfigurationProblem(
                    name: Variables.uplink.name,
                    value: "'\(bridge)'",
                    expected: "another device than the bridge of BRIDGE_NAME, which leads to the instances"
                )
            )
        }
        guard problems.isEmpty else { throw ConfigurationError(problems: problems) }
    }

    private func checkTLS() throws(ConfigurationError) {
        guard (tlsCertificate == nil) != (tlsKey == nil) else { return }
        let missing = tlsKey == nil ? Variables.tlsKey.name : Variables.tlsCertificate.name
        throw ConfigurationError(problems: [
            ConfigurationProblem(name: missing, value: "''", expected: "a path, since TLS_CERT and TLS_KEY go together")
        ])
    }
}

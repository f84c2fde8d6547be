/// What hypeman-init is told before anything else, as JSON at the start of a small read-only disk.
///
/// It stays the same for the life of a boot, so a restart of the agent changes nothing for the guest. Fields are only
/// ever added, and an init ignores those that it does not know: VMs outlive versions of the agent, and an init that is
/// older than the agent must still boot.
public struct GuestConfiguration: Codable, Sendable, Hashable {
    /// How the image's program is run.
    public enum Mode: String, Codable, Sendable {
        /// hypeman-init stays PID 1 and starts the program.
        case exec
        /// The program is systemd: it becomes PID 1, and hypeman-init's agent runs as a unit of it.
        case systemd
    }

    /// An address for one interface, set without waiting for DHCP.
    public struct Network: Codable, Sendable, Hashable {
        /// The interface's MAC address, by which it is found; lower case, colons.
        public var mac: String
        /// IPv4 address, dotted.
        public var address: String
        /// Length of the network's prefix, 0 to 32.
        public var prefixLength: Int
        /// The default route, dotted.
        public var gateway: String
        /// For /etc/resolv.conf, in order.
        public var nameServers: [String]
        /// For the `search` line of /etc/resolv.conf.
        public var searchDomains: [String]
        /// The link's MTU in bytes.
        public var mtu: Int

        public init(
            mac: String,
            address: String,
            prefixLength: Int,
            gateway: String,
            nameServers: [String],
            searchDomains: [String],
            mtu: Int
        ) {
            self.mac = mac
            self.address = address
            self.prefixLength = prefixLength
            self.gateway = gateway
            self.nameServers = nameServers
            self.searchDomains = searchDomains
            self.mtu = mtu
        }
    }

    /// The newest protocol version that the host speaks; see ``GuestProtocolVersion``.
    public var protocolVersion: Int
    /// The instance's id, for the guest's own messages.
    public var instance: String
    /// The host name to set.
    public var hostname: String
    /// 32 hexadecimal digits, new at each boot: marks where a session starts on a channel that is one unbroken byte stream.
    public var session: String
    /// How the program is run.
    public var mode: Mode
    /// The image's program with what the instance overrides.
    public var program: GuestProgram
    /// Whether the program's stdin, stdout and stderr are a pseudo-terminal.
    ///
    /// Its output comes as stdout then. In mode exec only.
    @FalseIfAbsent public var terminal: Bool
    /// Whether the host may send the program input.
    ///
    /// Otherwise there is nothing to be read, ever. In mode exec only.
    @FalseIfAbsent public var openStandardInput: Bool
    /// Virtio serial of the disk that holds the read-only root, erofs.
    public var rootDisk: String
    /// Virtio serial of the writable disk, ext4, whose upper directory lies over the root.
    public var overlayDisk: String
    /// The network, nil where the instance has none.
    public var network: Network?
    /// To be mounted before the program starts; nil from an agent that knows of none.
    public var volumes: [GuestVolume]?
    /// Bytes of program output kept in the guest while the agent is away.
    public var outputBufferSize: Int

    public init(
        protocolVersion: Int,
        instance: String,
        hostname: String,
        session: String,
        mode: Mode,
        program: GuestProgram,
        terminal: Bool = false,
        openStandardInput: Bool = false,
        rootDisk: String,
        overlayDisk: String,
        network: Network?,
        volumes: [GuestVolume] = [],
        outputBufferSize: Int
    ) {
        self.protocolVersion = protocolVersion
        self.instance = instance
        self.hostname = hostname
        self.session = session
        self.mode = mode
        self.program = program
        self.terminal = terminal
        self.openStandardInput = openStandardInput
        self.rootDisk = rootDisk
        self.overlayDisk = overlayDisk
        self.network = network
        self.volumes = volumes.isEmpty ? nil : volumes
        self.outputBufferSize = outputBufferSize
    }
}

/// A program to run in the guest.
public struct GuestProgram: Codable, Sendable, Hashable {
    /// The program and its arguments; the program is looked up in the environment's PATH when it has no slash.
    public var arguments: [String]
    /// `NAME=value`, in order; a later one wins.
    public var environment: [String]
    /// Where it starts; made if it does not exist, as container engines do for WORKDIR.
    public var workingDirectory: String
    /// `user`, `uid`, `user:group`, `uid:gid` as in an image's USER; empty means root.
    public var user: String
    /// Name or number as in an image's STOPSIGNAL; nil means SIGTERM.
    public var stopSignal: String?

    public init(
        arguments: [String],
        environment: [String],
        workingDirectory: String = "/",
        user: String = "",
        stopSignal: String? = nil
    ) {
        self.arguments = arguments
        self.environment = environment
        self.workingDirectory = workingDirectory
        self.user = user
        self.stopSignal = stopSignal
    }
}

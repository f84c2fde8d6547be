import Logging
import SystemPackage

extension AgentConfiguration {
    /// The variable that names a file with the others, and where it is by default.
    public static let defaultFile = (name: "CONFIG_FILE", path: "/etc/hypeman/hypeman.env")

    /// The environment variables, in the order of the README's table.
    enum Variables {
        static let file = ConfigurationVariable<FilePath?>(
            defaultFile.name,
            default: defaultFile.path,
            "File with these variables, read if it is there; the environment wins, and SIGHUP reads it again",
            expected: "an absolute path"
        ) { optional($0) { $0.hasPrefix("/") ? FilePath($0) : nil } }
        static let supervisor = choice(
            "SUPERVISOR",
            default: .auto,
            SupervisorChoice.self,
            "What runs VMMs and dnsmasq: `systemd` in units, `child` beside the agent; `auto` takes units where they are "
                + "installed and systemd runs"
        )
        static let port = number("PORT", default: "8080", 1...65535, "TCP port of the HTTP API")
        static let bindAddress = ConfigurationVariable(
            "BIND_ADDRESS",
            default: "0.0.0.0",
            "IP address that the TCP port listens on",
            expected: "an IP address"
        ) { $0.isEmpty ? nil : $0 }
        static let jwtSecret = ConfigurationVariable<String?>(
            "JWT_SECRET",
            default: "",
            "Secret that tokens are signed with (HS256); without it there is no TCP API",
            expected: "any text"
        ) { optional($0) { $0 } }
        static let tlsCertificate = path("TLS_CERT", "PEM certificate chain of the TCP port; with TLS_KEY")
        static let tlsKey = path("TLS_KEY", "PEM private key of the TCP port")
        static let dataDirectory = directory("DATA_DIR", default: "/var/lib/hypeman", "Images, disks, logs and state")
        static let runtimeDirectory = directory(
            "RUNTIME_DIR",
            default: "/run/hypeman",
            "Sockets; emptied by a reboot of the host"
        )
        static let socket = path("SOCKET", "Unix socket of the HTTP API; `RUNTIME_DIR/agent.sock` if empty")
        static let bus = ConfigurationVariable(
            "DBUS",
            default: "auto",
            "Message bus: `auto` is the system's if there is one; `system`, `session`, `off`, or an address",
            expected: "auto, system, session, off, or an address such as unix:path=/run/dbus/system_bus_socket"
        ) { BusChoice($0) }
        static let hypervisor = choice(
            "HYPERVISOR",
            default: .auto,
            HypervisorChoice.self,
            "What runs instances that name nothing"
        )
        static let accelerator = choice(
            "ACCELERATOR",
            default: .auto,
            AcceleratorChoice.self,
            "`auto` takes KVM where a guest really runs under it"
        )
        static let network = choice(
            "NETWORK",
            default: NetworkChoice.bridge,
            NetworkChoice.self,
            "How instances are connected"
        )
        static let bridge = ConfigurationVariable(
            "BRIDGE_NAME",
            default: "vmbr0",
            "Bridge that instances are on; made by the agent",
            expected: "a device's name: 1 to 15 letters, digits, '.', '-' and '_', a letter or digit first"
        ) { isDeviceName($0) ? $0 : nil }
        static let subnet = ConfigurationVariable(
            "SUBNET_CIDR",
            default: "10.100.0.0/16",
            "Addresses of instances",
            expected: "an IPv4 block such as 10.100.0.0/16, from /8 to /29, without bits set behind its prefix"
        ) { text -> IPv4Subnet? in IPv4Subnet(text).flatMap { (8...29).contains($0.prefixLength) ? $0 : nil } }
        static let gateway = ConfigurationVariable<IPv4Address?>(
            "SUBNET_GATEWAY",
            default: "",
            "The bridge's address; the first of `SUBNET_CIDR` if empty",
            expected: "an IPv4 address"
        ) { optional($0) { IPv4Address($0) } }
        static let uplink = ConfigurationVariable<String?>(
            "UPLINK_INTERFACE",
            default: "",
            "Interface that leads out; that of the default route if empty",
            expected: "a device's name"
        ) { optional($0) { isDeviceName($0) ? $0 : nil } }
        static let dnsServers = ConfigurationVariable(
            "DNS_SERVER",
            default: "1.1.1.1",
            "Who answers instances' questions for names that are not instances'",
            expected: "1 to 3 IPv4 addresses, separated by commas"
        ) { text -> [IPv4Address]? in
            let parts = text.split(separator: ",", omittingEmptySubsequences: false)
            let servers = parts.compactMap { IPv4Address(String($0.filter { $0 != " " })) }
            return servers.count == parts.count && servers.count <= 3 ? servers : nil
        }
        static let isolated = ConfigurationVariable(
            "NETWORK_ISOLATED",
            default: "true",
            "Whether instances cannot reach one another",
            expected: "true or false"
        ) { Bool($0) }
        static let networkLimit = ConfigurationVariable<BitRate?>(
            "NETWORK_LIMIT",
            default: "",
            "Bandwidth that `/resources` shares out; the uplink's speed if empty",
            expected: "a bandwidth such as 1Gbps or 125MB/s"
        ) { optional($0) { BitRate($0).flatMap { $0.bitsPerSecond > 0 ? $0 : nil } } }
        static let networkOversubscription = ConfigurationVariable(
            "OVERSUB_NETWORK",
            default: "2.0",
            "How many times that bandwidth may be promised",
            expected: "a number from 1 to 1000"
        ) { text in Double(text).flatMap { (1...1000).contains($0) ? $0 : nil } }
        static let kernel = path("KERNEL_PATH", "Guest kernel; else `DATA_DIR/system/kernel/` or `/usr/lib/hypeman/`")
        static let initrd = path("INITRD_PATH", "Guest initrd, built for that kernel; searched in the same places")
        static let qemu = path("QEMU_PATH", "QEMU's executable; searched in PATH if empty")
        static let cloudHypervisors = ConfigurationVariable(
            "CLOUD_HYPERVISOR",
            default: "",
            "Cloud Hypervisor's executables, separated by colons: the first that works starts instances, each restores "
                + "what its version has saved; searched in PATH if empty",
            expected: "absolute paths, separated by colons"
        ) { text -> [FilePath]? in
            let paths = text.split(separator: ":").map { FilePath(String($0)) }
            return paths.allSatisfy(\.isAbsolute) ? paths : nil
        }
        static let maximumConcurrentBuilds = number(
            "MAX_CONCURRENT_BUILDS",
            default: "1",
            1...64,
            "Images fetched and converted at a time"
        )
        static let maximumImageStorage = ConfigurationVariable<ByteSize?>(
            "MAX_IMAGE_STORAGE",
            default: "",
            "Disk space that images may take, pulls under way included; no limit if empty",
            expected: "a size such as 512MB or 10GB (binary units)"
        ) { optional($0) { text in ByteSize(text).flatMap { $0.bytes > 0 ? $0 : nil } } }
        static let imageCompression = choice(
            "IMAGE_COMPRESSION",
            default: .none,
            RootDiskCompression.self,
            "Root disks of images that are pulled or imported from now on: lz4 takes about half the space, and longer"
        )
        static let maximumTotalVolumeStorage = ConfigurationVariable<ByteSize?>(
            "MAX_TOTAL_VOLUME_STORAGE",
            default: "",
            "Size that all volumes together may have; no limit if empty",
            expected: "a size such as 512MB or 10GB (binary units)"
        ) { optional($0) { text in ByteSize(text).flatMap { $0.bytes > 0 ? $0 : nil } } }
        static let maximumOverlaySize = size(
            "MAX_OVERLAY_SIZE",
            default: "100GB",
            "Largest overlay disk of an instance"
        )
        static let maximumVCPUs = number("MAX_VCPUS_PER_INSTANCE", default: "16", 1...1024, "Most vCPUs of an instance")
        static let maximumMemory = size("MAX_MEMORY_PER_INSTANCE", default: "32GB", "Most memory of an instance")
        static let totalVCPUs = ConfigurationVariable<Int?>(
            "MAX_TOTAL_VCPUS",
            default: "0",
            "Most vCPUs of all instances that run, together; no limit if 0",
            expected: "a whole number from 0 to 1000000"
        ) { text in
            guard let count = Int(text), (0...1_000_000).contains(count) else { return nil }
            return .some(count == 0 ? nil : count)
        }
        static let totalMemory = ConfigurationVariable<ByteSize?>(
            "MAX_TOTAL_MEMORY",
            default: "",
            "Most memory of all instances that run, together; no limit if empty",
            expected: "a size such as 512MB or 10GB (binary units)"
        ) { optional($0) { text in ByteSize(text).flatMap { $0.bytes > 0 ? $0 : nil } } }
        static let bootTimeout = ConfigurationVariable(
            "BOOT_TIMEOUT",
            default: "2m",
            "How long a guest may take to start its program",
            expected: "a whole number and s or m, from 1s to 60m"
        ) { text -> Duration? in
            guard let unit = text.last, let count = Int(text.dropLast()), count > 0 else { return nil }
            let seconds = unit == "m" ? count.multipliedReportingOverflow(by: 60) : (count, false)
            guard unit == "m" || unit == "s", !seconds.1, seconds.0 <= 3600 else { return nil }
            return .seconds(seconds.0)
        }
        static let insecureRegistries = ConfigurationVariable(
            "INSECURE_REGISTRIES",
            default: "",
            "Registries that are spoken to in plain HTTP, by `host:port`",
            expected: "host names with optional ports, separated by commas"
        ) { text -> [String]? in
            let hosts = text.split(separator: ",").map { $0.filter { $0 != " " } }
            return hosts.allSatisfy { !$0.contains("/") && !$0.isEmpty } ? hosts : nil
        }
        static let registryAuthorities = path(
            "REGISTRY_CA_FILE",
            "PEM file of authorities that may sign registries' certificates besides those that the host trusts"
        )
        static let dockerConfigDirectory = path(
            "DOCKER_CONFIG",
            "Directory of Docker's config.json with registry logins; `~/.docker` if empty"
        )
        static let registryMirrors = ConfigurationVariable(
            "REGISTRY_MIRRORS",
            default: "",
            "Copies that are asked before a registry itself, in order, as `docker.io=https://mirror.example`",
            expected: "registry=URL pairs such as docker.io=https://mirror.example, separated by commas"
        ) { text -> [RegistryMirror]? in list(text) { RegistryMirror($0) } }
        static let httpProxy = proxy("HTTP_PROXY", "Proxy for registries in plain HTTP, as `http://host:port`")
        static let httpsProxy = proxy("HTTPS_PROXY", "Proxy for registries with TLS, as `http://host:port`")
        static let proxyExceptions = ConfigurationVariable(
            "NO_PROXY",
            default: "",
            "Registries that are reached without a proxy: names with all below them, addresses and blocks of them",
            expected: "names, IP addresses and CIDR blocks, or *, separated by commas",
            otherName: "no_proxy"
        ) { text -> [ProxyException]? in list(text) { ProxyException($0) } }
        static let logLevel = ConfigurationVariable(
            "LOG_LEVEL",
            default: "info",
            "The agent's own log",
            expected: "trace, debug, info, notice, warning, error or critical"
        ) { Logger.Level(rawValue: $0.lowercased()) }
        static let logMaximumSize = size("LOG_MAX_SIZE", default: "50MB", "Size at which an instance's log is rotated")
        static let logMaximumFiles = number(
            "LOG_MAX_FILES",
            default: "1",
            0...100,
            "Rotated logs kept beside the current one"
        )

        /// What the kernel takes (dev_valid_name in net/core/dev.c) and firewall rules and files can name as it is.
        private static func isDeviceName(_ text: String) -> Bool {
            func isWord(_ byte: UInt8) -> Bool { (48...57).contains(byte) || (97...122).contains(byte | 32) }
            return (1...15).contains(text.utf8.count) && text.utf8.first.map(isWord) == true
                && text.utf8.allSatisfy { isWord($0) || [45, 46, 95].contains($0) }
        }

        private static func number(
            _ name: String,
            default defaultText: String,
            _ range: ClosedRange<Int>,
            _ summary: String
        ) -> ConfigurationVariable<Int> {
            ConfigurationVariable(
                name,
                default: defaultText,
                summary,
                expected: "a whole number from \(range.lowerBound) to \(range.upperBound)"
            ) { text in Int(text).flatMap { range.contains($0) ? $0 : nil } }
        }

        private static func size(_ name: String, default defaultText: String, _ summary: String)
            -> ConfigurationVariable<ByteSize>
        {
            ConfigurationVariable(
                name,
                default: defaultText,
                summary,
                expected: "a size such as 512MB or 10GB (binary units)"
            ) { text in
                ByteSize(text).flatMap { $0.bytes > 0 ? $0 : nil }
            }
        }

        private static func path(_ name: String, _ summary: String) -> ConfigurationVariable<FilePath?> {
            ConfigurationVariable(name, default: "", summary, expected: "an absolute path") { text in
                optional(text) { $0.hasPrefix("/") ? FilePath($0) : nil }
            }
        }

        /// The value nil for an empty text, and no value for one that `parse` refuses.
        private static func optional<Value>(_ text: String, _ parse: (String) -> Value?) -> Value?? {
            guard !text.isEmpty else { return .some(.none) }
            guard let value = parse(text) else { return .none }
            return .some(.some(value))
        }

        /// All parts between commas, none of which may be refused; blanks around them and empty ones don't count.
        private static func list<Value>(_ text: String, _ parse: (String) -> Value?) -> [Value]? {
            let parts = text.split(separator: ",").map { $0.filter { $0 != " " } }.filter { !$0.isEmpty }
            let values = parts.compactMap(parse)
            return values.count == parts.count ? values : nil
        }

        /// Also by its name in lower case, as most programs do; it may carry a password.
        private static func proxy(_ name: String, _ summary: String)
            -> ConfigurationVariable<ProxyConfiguration.Proxy?>
        {
            ConfigurationVariable(
                name,
                default: "",
                summary,
                expected: "a proxy such as http://user:password@proxy.example:3128",
                otherName: name.lowercased(),
                isSecret: true
            ) { optional($0) { ProxyConfiguration.Proxy($0) } }
        }

        private static func directory(_ name: String, default defaultText: String, _ summary: String)
            -> ConfigurationVariable<FilePath>
        {
            ConfigurationVariable(name, default: defaultText, summary, expected: "an absolute path") { text in
                text.hasPrefix("/") ? FilePath(text) : nil
            }
        }

        private static func choice<Choice: RawRepresentable & CaseIterable & Sendable>(
            _ name: String,
            default defaultChoice: Choice,
            _: Choice.Type,
            _ summary: String
        ) -> ConfigurationVariable<Choice> where Choice.RawValue == String {
            ConfigurationVariable(
                name,
                default: defaultChoice.rawValue,
                summary,
                expected: "one of \(Choice.allCases.map(\.rawValue).joined(separator: ", "))"
            ) { Choice(rawValue: $0) }
        }
    }

    /// A line of the README's table.
    public struct Description: Sendable, Hashable {
        public let name: String
        public let defaultText: String
        public let summary: String

        init<Value>(_ variable: ConfigurationVariable<Value>) {
            self.name = variable.name
            self.defaultText = variable.defaultText
            self.summary = variable.summary
        }
    }

    /// Every variable, for the table.
    public static var descriptions: [Description] {
        [
            Description(Variables.file), Description(Variables.port), Description(Variables.bindAddress),
            Description(Variables.jwtSecret),
            Description(Variables.tlsCertificate), Description(Variables.tlsKey), Description(Variables.dataDirectory),
            Description(Variables.runtimeDirectory), Description(Variables.supervisor),
            Description(Variables.socket), Description(Variables.bus), Description(Variables.hypervisor),
            Description(Variables.accelerator), Description(Variables.network), Description(Variables.bridge),
            Description(Variables.subnet), Description(Variables.gateway), Description(Variables.uplink),
            Description(Variables.dnsServers), Description(Variables.isolated), Description(Variables.networkLimit),
            Description(Variables.networkOversubscription), Description(Variables.kernel),
            Description(Variables.initrd), Description(Variables.qemu),
            Description(Variables.cloudHypervisors), Description(Variables.maximumConcurrentBuilds),
            Description(Variables.maximumImageStorage), Description(Variables.imageCompression),
            Description(Variables.maximumOverlaySize),
            Description(Variables.maximumTotalVolumeStorage),
            Description(Variables.maximumVCPUs),
            Description(Variables.maximumMemory), Description(Variables.totalVCPUs),
            Description(Variables.totalMemory), Description(Variables.bootTimeout),
            Description(Variables.insecureRegistries), Description(Variables.registryAuthorities),
            Description(Variables.dockerConfigDirectory), Description(Variables.registryMirrors),
            Description(Variables.httpProxy), Description(Variables.httpsProxy),
            Description(Variables.proxyExceptions),
            Description(Variables.logLevel), Description(Variables.logMaximumSize),
            Description(Variables.logMaximumFiles),
        ]
    }
}

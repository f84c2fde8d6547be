import AgentCore
import Glibc
import SystemPackage

/// What one dnsmasq is told (dnsmasq(8), 2.90), as its configuration file.
///
/// Instances are not in it: they are in directories that dnsmasq watches.
struct NameServiceConfiguration: Sendable, Hashable {
    /// The whole file.
    let text: String
    /// Where it is; the name changes with the content, so that a process tells by its arguments what it was told.
    let path: FilePath
    /// What dnsmasq is started with: `mark` and `current`.
    let arguments: [String]
    /// Among the arguments of every dnsmasq of this network.
    let mark: String
    /// Among the arguments of those with this very configuration.
    let current: String

    /// How long a client may use an address before it asks again.
    ///
    /// Leases are not stored, so it has to be short enough for those of deleted instances to be forgotten, and long
    /// enough for a client not to notice while dnsmasq is restarted.
    private static let leaseTime = "1h"
    /// Twice what a bridge's ports can hold: one that is gone is remembered for as long as its lease.
    private static let maximumLeases = 2 * BridgeConfiguration.maximumPorts

    /// The configuration for a network.
    ///
    /// - Parameters:
    ///   - bridge: The network.
    ///   - device: The bridge's interface index: dnsmasq binds its DHCP socket to the device, and one that was deleted
    ///     and made again is another.
    ///   - mtu: For clients, in bytes.
    ///   - isRoot: Whether the agent is root.
    init(_ bridge: BridgeConfiguration, device: UInt32, mtu: Int, isRoot: Bool = geteuid() == 0) {
        let files = NameServicePaths(directory: bridge.directory)
        let domain = BridgeConfiguration.domain
        var lines = ["# Written by hypeman-agent for \(bridge.bridge) (interface \(device)); changes are overwritten."]
        // dnsmasq would change to a user of its own, who cannot read the agent's directory and whose process the agent
        // could not tell from a stranger's; the supervisor has taken away the rights that it does not need.
        if isRoot { lines.append("user=root") }
        lines += [
            "keep-in-foreground",
            "pid-file",
            "log-facility=-",
            "quiet-dhcp",
            // On the bridge's address alone, also when it comes later; a query that arrives from elsewhere is dropped.
            "bind-dynamic",
            "interface=\(bridge.bridge)",
            "except-interface=lo",
            // What the host knows is not for instances.
            "no-hosts",
            "no-resolv",
            "no-poll",
            // Names of instances are answered here or not at all.
            "local=/\(domain)/",
            // By which the agent tells its own name server from another: no instance can be called so.
            "txt-record=\(NameServiceProbe.name),\(bridge.bridge)",
        ]
        lines += ReverseZones.names(of: bridge.subnet).map { "local=/\($0)/" }
        lines += bridge.dnsServers.map { "server=\($0)" }
        lines += [
            // A name without a dot means nothing outside.
            "domain-needed",
            // No stop-dns-rebind: it protects browsers, and would break a company's resolver that answers with private
            // addresses; what instances may reach is the firewall's to decide.
            "cache-size=1000",
            "dns-forward-max=150",
            // No lease without a reservation; without `domain=`, and ignoring what clients call themselves, a lease
            // never makes a name, which would outlive the instance.
            "dhcp-range=\(bridge.subnet.base),static,\(bridge.subnet.netmask),\(Self.leaseTime)",
            "dhcp-ignore-names",
            // Machines made from one image may share a client id; their MACs differ.
            "dhcp-ignore-clid",
            "dhcp-authoritative",
            "leasefile-ro",
            "dhcp-lease-max=\(Self.maximumLeases)",
            // Needs a raw socket, and addresses are the agent's to give.
            "no-ping",
            "dhcp-option=option:router,\(bridge.gateway)",
            "dhcp-option=option:dns-server,\(bridge.gateway)",
            "dhcp-option=option:mtu,\(mtu)",
            "dhcp-option=option:domain-name,\(domain)",
            "dhcp-option=option:domain-search,\(domain)",
        ]
        text = lines.map { $0 + "\n" }.joined()
        path = files.configuration(digest: Self.digest(text))
        mark = "--hostsdir=\(files.names)"
        current = "--conf-file=\(path)"
        arguments = [current, mark, "--dhcp-hostsdir=\(files.reservations)"]
    }

    /// 64 bits of FNV-1a: enough to tell one configuration of this agent from its last.
    private static func digest(_ text: String) -> String {
        let value = text.utf8.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
        return String(value, radix: 16)
    }
}

/// Where a network's name service has its files.
struct NameServicePaths: Sendable, Hashable {
    let directory: FilePath

    /// One file an address, in the form of hosts(5).
    var names: FilePath { directory.appending("names") }
    /// One file an address, in the form of dnsmasq's --dhcp-host.
    var reservations: FilePath { directory.appending("reservations") }
    /// What dnsmasq says.
    var log: FilePath { directory.appending("dnsmasq.log") }
    /// Where a file is written before it is put in its place.
    var draft: FilePath { directory.appending("draft") }

    private static let prefix = "dnsmasq-"
    private static let suffix = ".conf"

    func configuration(digest: String) -> FilePath { directory.appending(Self.prefix + digest + Self.suffix) }

    static func isConfiguration(_ name: String) -> Bool { name.hasPrefix(prefix) && name.hasSuffix(suffix) }
}

import CInit
import Glibc
import GuestAgent
import GuestProtocol

/// Gives the guest its name and its address.
enum NetworkSetup {
    /// Brings up the loopback interface and, if there is one, the network's.
    ///
    /// May run before the root is switched.
    static func configureInterfaces(_ network: GuestConfiguration.Network?) throws(BootFailure) {
        try BootFailure.check(hypeman_link_up("lo", 0), "cannot bring up the loopback interface")
        guard let network else { return }
        guard let address = parse(network.address), let gateway = parse(network.gateway),
            (0...32).contains(network.prefixLength)
        else { throw BootFailure(message: "the network's addresses make no sense: \(network)") }
        let interface = try Devices.interface(mac: network.mac)
        let netmask: UInt32 = network.prefixLength == 0 ? 0 : ~0 << UInt32(32 - network.prefixLength)
        try BootFailure.check(
            hypeman_set_address(interface, address, netmask.bigEndian),
            "cannot give \(interface) the address \(network.address)"
        )
        try BootFailure.check(hypeman_link_up(interface, Int32(clamping: network.mtu)), "cannot bring up \(interface)")
        try BootFailure.check(
            hypeman_add_default_route(interface, gateway),
            "cannot set the default route to \(network.gateway)"
        )
    }

    /// Sets the host name, and writes the files that say who and where the guest is.
    ///
    /// Runs in the image's root.
    static func writeFiles(_ configuration: GuestConfiguration) {
        let name = configuration.hostname
        hypeman_set_hostname(name, name.utf8.count)
        mkdir("/etc", 0o755)
        let own = configuration.network.map { "\($0.address)\t\(name)\n" } ?? "127.0.1.1\t\(name)\n"
        write(
            "/etc/hosts",
            "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n\(own)"
        )
        write("/etc/hostname", name + "\n")
        guard let network = configuration.network, !network.nameServers.isEmpty else { return }
        let search = network.searchDomains.isEmpty ? "" : "search \(network.searchDomains.joined(separator: " "))\n"
        write("/etc/resolv.conf", search + network.nameServers.map { "nameserver \($0)\n" }.joined())
    }

    /// A file that cannot be written does not keep the program from running.
    private static func write(_ path: String, _ text: String) {
        let result = SmallFile.replace(path, with: text)
        if result != 0 { Console.write("cannot write \(path): \(String(cString: strerror(-result)))") }
    }

    /// A dotted IPv4 address, in network byte order.
    private static func parse(_ text: String) -> UInt32? {
        var address = in_addr()
        return inet_pton(AF_INET, text, &address) == 1 ? address.s_addr : nil
    }
}

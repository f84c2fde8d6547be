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
        withoutLinkLocalAddress(interface)
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
        // A file that cannot be written does not keep the program from running.
        for (path, error) in NetworkFiles(configuration).write() {
            Console.write("cannot write \(path): \(String(cString: strerror(-error)))")
        }
    }

    /// Keeps the kernel from giving an interface a link-local IPv6 address, which would ask for routers and neighbours
    /// that the host does not let through; IPv6 stays there for whoever sets it up.
    private static func withoutLinkLocalAddress(_ interface: String) {
        // 1 is IN6_ADDR_GEN_MODE_NONE (include/uapi/linux/if_link.h). A kernel without IPv6 has no such file.
        let descriptor = hypeman_open("/proc/sys/net/ipv6/conf/\(interface)/addr_gen_mode", O_WRONLY)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        if write(descriptor, "1", 1) < 0 {
            Console.write("\(interface) keeps its link-local address: \(String(cString: strerror(errno)))")
        }
    }

    /// A dotted IPv4 address, in network byte order.
    private static func parse(_ text: String) -> UInt32? {
        var address = in_addr()
        return inet_pton(AF_INET, text, &address) == 1 ? address.s_addr : nil
    }
}

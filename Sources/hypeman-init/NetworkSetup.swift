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
        let interface = try Devices.interface(mac: network.mac)
        withoutLinkLocalAddress(interface)
        try configure(interface, network)
    }

    /// Gives the interface that had another guest's addresses its own, MAC address and route included.
    ///
    /// What was connected from the former address is cut off.
    static func reconfigure(_ network: GuestConfiguration.Network, formerMACs: [String]) throws(BootFailure) {
        let known = ([network.mac] + formerMACs).map { $0.lowercased() }
        let interface = SmallFile.names(in: "/sys/class/net").first { name in
            SmallFile.line("/sys/class/net/\(name)/address").map(known.contains) ?? false
        }
        guard let interface else {
            throw BootFailure(message: "no network interface has the address \(known.joined(separator: " or "))")
        }
        let mac = network.mac.split(separator: ":").compactMap { UInt8($0, radix: 16) }
        guard mac.count == 6 else { throw BootFailure(message: "'\(network.mac)' is no MAC address") }
        try BootFailure.check(
            hypeman_set_mac(interface, mac),
            "cannot give \(interface) the MAC address \(network.mac)"
        )
        try configure(interface, network)
    }

    private static func configure(_ interface: String, _ network: GuestConfiguration.Network) throws(BootFailure) {
        guard let address = parse(network.address), let gateway = parse(network.gateway),
            (0...32).contains(network.prefixLength)
        else { throw BootFailure(message: "the network's addresses make no sense: \(network)") }
        let netmask: UInt32 = network.prefixLength == 0 ? 0 : ~0 << UInt32(32 - network.prefixLength)
        try BootFailure.check(
            hypeman_set_address(interface, address, netmask.bigEndian),
            "cannot give \(interface) the address \(network.address)"
        )
        try BootFailure.check(hypeman_link_up(interface, Int32(clamping: network.mtu)), "cannot bring up \(interface)")
        let result = hypeman_add_default_route(interface, gateway)
        // The address may have been what it is now, and the route with it.
        guard result != -EEXIST else { return }
        try BootFailure.check(result, "cannot set the default route to \(network.gateway)")
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

extension Renaming {
    /// On this kernel, as one who may.
    static let kernel = Renaming(
        setHostname: { hypeman_set_hostname($0, $0.utf8.count) },
        setNetwork: { network, formerMACs in
            do throws(BootFailure) {
                try NetworkSetup.reconfigure(network, formerMACs: formerMACs)
                return nil
            } catch {
                return error.message
            }
        }
    )
}

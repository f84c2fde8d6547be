import AgentCore
import CNetwork
import Glibc

/// What is there, by rtnetlink(7).
extension NetlinkSocket {
    mutating func links() throws -> [Link] {
        try dump(NetlinkMessage(RTM_GETLINK, header: ifinfomsg(), purpose: "list the links"), Link.init)
    }

    mutating func link(named name: String) throws -> Link? {
        var message = NetlinkMessage(RTM_GETLINK, header: ifinfomsg(), purpose: "look up the link '\(name)'")
        message.put(IFLA_IFNAME, text: name)
        return try get(message).flatMap(Link.init)
    }

    mutating func link(at index: Int32) throws -> Link? {
        var header = ifinfomsg()
        header.ifi_index = index
        return try get(NetlinkMessage(RTM_GETLINK, header: header, purpose: "look up link \(index)"))
            .flatMap(Link.init)
    }

    mutating func addresses(ofLink index: Int32) throws -> [LinkAddress] {
        try addresses().filter { $0.link == index }.map(\.address)
    }

    /// All, with the numbers of their links.
    mutating func addresses() throws -> [(link: Int32, address: LinkAddress)] {
        var header = ifaddrmsg()
        header.ifa_family = UInt8(AF_INET)
        return try dump(NetlinkMessage(RTM_GETADDR, header: header, purpose: "list the addresses"), LinkAddress.read)
    }

    mutating func routes() throws -> [Route] {
        var header = rtmsg()
        header.rtm_family = UInt8(AF_INET)
        let message = NetlinkMessage(RTM_GETROUTE, header: header, purpose: "list the routes")
        let entries = try dump(message, RouteEntry.init)
        var names: [Int32: String] = [:]
        for index in Set(entries.map(\.interface)) { names[index] = try link(at: index)?.name }
        return entries.compactMap { entry in
            // A link that has just vanished took its routes with it.
            names[entry.interface].map {
                Route(subnet: entry.subnet, gateway: entry.gateway, interface: $0, metric: entry.metric)
            }
        }
    }
}

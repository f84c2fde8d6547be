import AgentCore
import CNetwork
import Glibc

/// Requests about links (rtnetlink(7)).
enum LinkMessages {
    /// A new link; refused if there is one of that name.
    static func create(
        _ name: String,
        kind: String,
        _ content: (inout NetlinkMessage) -> Void = { _ in }
    ) -> NetlinkMessage {
        var message = NetlinkMessage(
            RTM_NEWLINK,
            flags: NLM_F_CREATE | NLM_F_EXCL,
            header: ifinfomsg(),
            purpose: "create the link '\(name)'"
        )
        message.put(IFLA_IFNAME, text: name)
        message.nest(IFLA_LINKINFO) { $0.put(IFLA_INFO_KIND, text: kind) }
        content(&message)
        return message
    }

    /// Changes a link, found by its name.
    static func change(_ name: String, _ purpose: String, _ content: (inout NetlinkMessage) -> Void) -> NetlinkMessage {
        var message = NetlinkMessage(RTM_SETLINK, header: ifinfomsg(), purpose: "\(purpose) '\(name)'")
        message.put(IFLA_IFNAME, text: name)
        content(&message)
        return message
    }

    /// Marks a link as ours; one that is down will have no IPv6 address when it goes up.
    static func mark(_ name: String, alias: String) -> NetlinkMessage {
        change(name, "mark the link") {
            $0.put(IFLA_IFALIAS, bytes: Array(alias.utf8))
            $0.withoutLinkLocal()
        }
    }

    static func up(_ name: String, index: Int32) -> NetlinkMessage {
        var header = ifinfomsg()
        header.ifi_index = index
        header.ifi_flags = UInt32(IFF_UP)
        header.ifi_change = UInt32(IFF_UP)
        return NetlinkMessage(RTM_SETLINK, header: header, purpose: "start the link '\(name)'")
    }

    static func remove(_ name: String) -> NetlinkMessage {
        var message = NetlinkMessage(RTM_DELLINK, header: ifinfomsg(), purpose: "remove the link '\(name)'")
        message.put(IFLA_IFNAME, text: name)
        return message
    }
}

extension NetlinkMessage {
    /// No address is made from the MAC when the link goes up: fe80::/64 would reach services of the host that no rule
    /// for IPv4 closes.
    ///
    /// A kernel without IPv6 refuses what it does not know.
    mutating func withoutLinkLocal() {
        guard access("/proc/sys/net/ipv6", F_OK) == 0 else { return }
        nest(IFLA_AF_SPEC) { families in
            families.nest(AF_INET6) { $0.put(IFLA_INET6_ADDR_GEN_MODE, UInt8(IN6_ADDR_GEN_MODE_NONE.rawValue)) }
        }
    }
}

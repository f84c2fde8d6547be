import AgentCore
import CNetwork
import Glibc

/// Requests that make a TAP an instance's port of a bridge.
enum PortMessages {
    /// All that goes with the device when that vanishes: in this order, in one datagram.
    static func attach(_ tap: TapDescription, index: Int32) -> [NetlinkMessage] {
        [
            LinkMessages.change(tap.name, "attach to its bridge the TAP") {
                $0.put(IFLA_IFALIAS, bytes: Array(tap.alias.utf8))
                $0.put(IFLA_MTU, UInt32(tap.mtu))
                $0.put(IFLA_MASTER, tap.bridge)
                $0.withoutLinkLocal()
            },
            options(tap, index: index),
            forwarding(RTM_NEWNEIGH, tap.mac, port: tap.name, index: index),
        ]
    }

    /// What the bridge keeps of it, and its start.
    ///
    /// Only for a device that stays: by its name the entry is found again that somebody who was killed has left.
    static func start(_ tap: TapDescription, index: Int32) -> [NetlinkMessage] {
        [
            neighbour(RTM_NEWNEIGH, tap.address, tap.mac, bridge: tap.bridge),
            LinkMessages.up(tap.name, index: index),
        ]
    }

    /// What a port does (IFLA_BRPORT_… in linux/if_link.h).
    ///
    /// Without learning a guest cannot draw another's frames to itself by sending from its MAC, not with frames that
    /// no rule sees either (01:80:c2:00:00:0e).
    private static func options(_ tap: TapDescription, index: Int32) -> NetlinkMessage {
        var header = ifinfomsg()
        header.ifi_family = UInt8(AF_BRIDGE)
        header.ifi_index = index
        var message = NetlinkMessage(RTM_SETLINK, header: header, purpose: "set the port options of '\(tap.name)'")
        message.nest(IFLA_PROTINFO) {
            $0.put(IFLA_BRPORT_LEARNING, UInt8(0))
            $0.put(IFLA_BRPORT_ISOLATED, UInt8(tap.isolated ? 1 : 0))
        }
        return message
    }

    /// An entry of the bridge's forwarding table: static, and sticky, as a static one alone moves to the port that a
    /// frame from its MAC comes in on (NTF_STICKY in linux/neighbour.h).
    ///
    /// NUD_NOARP is what makes it static: NUD_PERMANENT would make the MAC the host's own.
    static func forwarding(_ type: Int, _ mac: MACAddress, port: String, index: Int32) -> NetlinkMessage {
        var header = ndmsg()
        header.ndm_family = UInt8(AF_BRIDGE)
        header.ndm_ifindex = index
        header.ndm_state = UInt16(NUD_NOARP)
        header.ndm_flags = UInt8(NTF_MASTER | NTF_STICKY)
        var message = entry(type, header, "the forwarding entry of \(mac) at '\(port)'")
        message.put(NDA_LLADDR, bytes: mac.bytes)
        return message
    }

    /// An entry of the host's neighbour table: permanent, so that the host never asks who has the address.
    static func neighbour(_ type: Int, _ address: IPv4Address, _ mac: MACAddress?, bridge: Int32) -> NetlinkMessage {
        var header = ndmsg()
        header.ndm_family = UInt8(AF_INET)
        header.ndm_ifindex = bridge
        header.ndm_state = UInt16(NUD_PERMANENT)
        var message = entry(type, header, "the neighbour entry of \(address)")
        message.put(NDA_DST, bytes: address.bytes)
        if let mac { message.put(NDA_LLADDR, bytes: mac.bytes) }
        return message
    }

    private static func entry(_ type: Int, _ header: ndmsg, _ what: String) -> NetlinkMessage {
        let isNew = type == RTM_NEWNEIGH
        return NetlinkMessage(
            type,
            flags: isNew ? NLM_F_CREATE | NLM_F_REPLACE : 0,
            header: header,
            purpose: "\(isNew ? "set" : "remove") \(what)"
        )
    }
}

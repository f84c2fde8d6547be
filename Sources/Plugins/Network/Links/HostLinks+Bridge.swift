import AgentCore
import CNetwork
import Glibc

/// What a bridge is to be.
struct BridgeDescription: Sendable, Hashable {
    /// At most 15 bytes.
    var name: String
    /// Marks it as ours.
    var alias: String
    /// The host's own on it.
    var address: IPv4Address
    var prefixLength: Int
    var mtu: Int
    /// Set, as it would be the lowest of its ports' otherwise and change with them, under the guests' neighbour tables.
    var mac: MACAddress
}

extension HostLinks {
    /// Makes a bridge, or brings one that was made before in line; what is right already is not touched.
    ///
    /// Without STP and forward delay, so that a port works as soon as a VMM opens it, and without IPv6, up.
    ///
    /// - Returns: It, as it is then.
    /// - Throws: `alreadyExists` `link_kind_conflict` or `link_not_ours` if the name is another's, `invalidState`
    ///   `bridge_address_conflict` if ours carries another address.
    @discardableResult
    func createBridge(_ bridge: BridgeDescription) async throws -> Link {
        try await route { socket in
            if let link = try socket.ownLink(named: bridge.name, kind: "bridge", alias: bridge.alias) {
                return try socket.configure(bridge, link)
            }
            let link = try socket.createLink(bridge.name, kind: "bridge", alias: bridge.alias)
            do {
                return try socket.configure(bridge, link)
            } catch {
                try socket.takeBack(link, after: error)
                throw error
            }
        }
    }
}

extension NetlinkSocket {
    fileprivate mutating func configure(_ bridge: BridgeDescription, _ link: Link) throws -> Link {
        let addresses = try addresses(ofLink: link.index)
        let own = LinkAddress(address: bridge.address, prefixLength: bridge.prefixLength)
        if let foreign = addresses.first(where: { $0 != own }) {
            throw AgentError(
                .invalidState,
                code: "bridge_address_conflict",
                "the bridge '\(bridge.name)' has the address \(foreign.address)/\(foreign.prefixLength), not "
                    + "\(own.address)/\(own.prefixLength): remove that address, or run 'hypeman-agent network teardown'"
            )
        }
        try disableIPv6(on: bridge.name)
        var messages = [
            LinkMessages.change(bridge.name, "set up the bridge") { message in
                message.put(IFLA_MTU, UInt32(bridge.mtu))
                if link.mac != bridge.mac { message.put(IFLA_ADDRESS, bytes: bridge.mac.bytes) }
                message.withoutLinkLocal()
            },
            // One after the other: with STP on, no delay below 2 seconds is taken.
            Self.option(IFLA_BR_STP_STATE, 0, bridge.name, index: link.index),
            Self.option(IFLA_BR_FORWARD_DELAY, 0, bridge.name, index: link.index),
        ]
        if addresses.isEmpty { messages.append(Self.newAddress(own, bridge, index: link.index)) }
        messages.append(LinkMessages.up(bridge.name, index: link.index))
        try send(messages)
        guard let configured = try self.link(at: link.index) else {
            throw NetlinkError(NetlinkError.noDevice, purpose: "find the bridge '\(bridge.name)' that was just set up")
        }
        return configured
    }

    private static func option(_ option: Int, _ value: UInt32, _ name: String, index: Int32) -> NetlinkMessage {
        var header = ifinfomsg()
        header.ifi_index = index
        // RTM_SETLINK passes over a bridge's own options; RTM_NEWLINK of one that is there changes it.
        var message = NetlinkMessage(RTM_NEWLINK, header: header, purpose: "set the options of the bridge '\(name)'")
        message.nest(IFLA_LINKINFO) { information in
            information.put(IFLA_INFO_KIND, text: "bridge")
            information.nest(IFLA_INFO_DATA) { $0.put(option, value) }
        }
        return message
    }

    private static func newAddress(_ own: LinkAddress, _ bridge: BridgeDescription, index: Int32) -> NetlinkMessage {
        var header = ifaddrmsg()
        header.ifa_family = UInt8(AF_INET)
        header.ifa_prefixlen = UInt8(own.prefixLength)
        header.ifa_index = UInt32(index)
        var message = NetlinkMessage(
            RTM_NEWADDR,
            flags: NLM_F_CREATE | NLM_F_REPLACE,
            header: header,
            purpose: "give the bridge '\(bridge.name)' the address \(own.address)/\(own.prefixLength)"
        )
        message.put(IFA_LOCAL, bytes: own.address.bytes)
        message.put(IFA_ADDRESS, bytes: own.address.bytes)
        if let subnet = IPv4Subnet(containing: own.address, prefixLength: own.prefixLength) {
            message.put(IFA_BROADCAST, bytes: subnet.broadcast.bytes)
        }
        return message
    }
}

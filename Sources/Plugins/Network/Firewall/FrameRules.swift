import AgentCore

/// The nft table that keeps instances from sending frames in another's name; pure.
///
/// It stands before everything else on the bridge (priority -300), so before the bridge learns where an address is
/// (br_handle_frame_finish in the kernel's net/bridge/br_input.c), and looks at nothing but the port that a frame comes
/// from. Unlike a chain on the device's ingress it is not passed by when that is redirected for an upload limit.
///
/// Frames to the addresses that no bridge forwards (IEEE 802.1Q, table 8-1; LLDP's among them) are handed up before any
/// chain sees them, and the bridge learns from them: that is what a port's learning must be off for.
struct FrameRules: Sendable, Hashable {
    /// One instance's own names.
    struct Admission: Sendable, Hashable {
        var tap: String
        var mac: MACAddress
        var address: IPv4Address

        init(_ attachment: NetworkAttachment) {
            tap = attachment.tap
            mac = attachment.mac
            address = attachment.address
        }

        /// What the sets have of it.
        var elements: [FrameSetElement] {
            let unspecified = IPv4Address(value: 0)
            return [
                FrameSetElement(set: "ports", fields: [.device(tap)]),
                FrameSetElement(set: "addresses", fields: [.device(tap), .mac(mac), .address(address)]),
                FrameSetElement(set: "arps", fields: [.device(tap), .mac(mac), .mac(mac), .address(address)]),
                // A probe whether an address is free (RFC 5227, 2.1.1): it changes nobody's mind about who has it.
                FrameSetElement(set: "arps", fields: [.device(tap), .mac(mac), .mac(mac), .address(unspecified)]),
                FrameSetElement(set: "macs", fields: [.device(tap), .mac(mac)]),
            ]
        }
    }

    let table: NftListing.Table

    init(bridge: String) { table = NftListing.Table(family: "bridge", name: "hypeman-\(bridge)") }

    private static let sets = [
        (name: "ports", type: "ifname"),
        (name: "addresses", type: "ifname . ether_addr . ipv4_addr"),
        (name: "arps", type: "ifname . ether_addr . ether_addr . ipv4_addr"),
        (name: "macs", type: "ifname . ether_addr"),
    ]

    /// What `nft -f` needs to read to put the table, with these instances in it, in place of the one that is there: at no
    /// moment is there none.
    func replacement(for admissions: [Admission]) -> String {
        let elements = Dictionary(grouping: admissions.flatMap(\.elements), by: \.set)
        var text = "add table bridge \(table.name)\ndelete table bridge \(table.name)\ntable bridge \(table.name) {\n"
        for set in Self.sets {
            text += "set \(set.name) {\ntype \(set.type)\n"
            if let elements = elements[set.name] {
                text += "elements = { \(elements.map(\.expression).joined(separator: ",\n")) }\n"
            }
            text += "}\n"
        }
        return text + """
            chain prerouting {
            type filter hook prerouting priority -300; policy accept;
            iifname @ports goto instances
            }
            chain instances {
            ether type != { ip, arp } drop
            iifname . ether saddr . ip saddr @addresses accept
            iifname . ether saddr . arp saddr ether . arp saddr ip @arps accept
            ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 udp dport 67 iifname . ether saddr @macs accept
            drop
            }
            }

            """
    }

    /// What makes it go.
    var removal: String { "delete table bridge \(table.name)\n" }

    /// The instances' elements, as a listing has them.
    static func elements(in listing: NftListing) -> [String: Set<JSONValue>] {
        var elements: [String: Set<JSONValue>] = [:]
        for set in listing.sets { elements[set.name] = Set(set.elements) }
        return elements
    }

    /// The same, as they should be.
    static func elements(of admissions: [Admission]) -> [String: Set<JSONValue>] {
        var elements: [String: Set<JSONValue>] = [:]
        for set in sets { elements[set.name] = [] }
        for element in admissions.flatMap(\.elements) { elements[element.set, default: []].insert(element.json) }
        return elements
    }
}

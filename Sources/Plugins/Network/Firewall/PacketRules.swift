import AgentCore

/// The rules for IPv4 packets of one bridge, as `iptables-save` writes them; pure.
///
/// They stand in chains of our own, named after the bridge, and the built-in chains jump to those first. So what other
/// programs decide further down, a FORWARD policy of DROP for one (Docker, ufw), does not concern our packets, and
/// packets that do not concern us return to them.
struct PacketRules: Sendable, Hashable {
    /// iptables' tables that are used.
    enum Table: String, CaseIterable {
        case filter
        case nat
    }

    /// Our chains, by the end of their names.
    enum Chain: String, CaseIterable {
        case forward = "FWD"
        case input = "IN"
        case prerouting = "PRE"
        case output = "OUT"
        case postrouting = "POST"
        /// The published ports, for packets from outside as for the host's own.
        case published = "PUB"

        var table: Table {
            switch self {
            case .forward, .input: .filter
            case .prerouting, .output, .postrouting, .published: .nat
            }
        }

        /// The built-in chain that jumps here, and which packets it sends.
        var caller: (chain: String, match: String)? {
            switch self {
            case .forward: ("FORWARD", "")
            case .input: ("INPUT", "")
            // Packets to any of the host's own addresses: the only ones whose ports can be published.
            case .prerouting: ("PREROUTING", "-m addrtype --dst-type LOCAL ")
            case .output: ("OUTPUT", "-m addrtype --dst-type LOCAL ")
            case .postrouting: ("POSTROUTING", "")
            case .published: nil
            }
        }
    }

    /// What all chains of all agents on a host begin with.
    static let prefix = "HYP-"

    let bridge: String
    let subnet: IPv4Subnet
    let gateway: IPv4Address
    /// nil if there is no way out: then nothing is let out.
    let uplink: String?
    let isolated: Bool

    /// - Throws: `invalidArgument` for names that no device should have.
    init(_ configuration: BridgeConfiguration, uplink: String?) throws {
        for name in [configuration.bridge] + (uplink.map { [$0] } ?? []) where !Self.isDevice(name) {
            throw AgentError(
                .invalidArgument,
                "'\(name)' is not usable as a network device's name: 1 to 15 letters, digits, '.', '_' and '-' are"
            )
        }
        bridge = configuration.bridge
        subnet = configuration.subnet
        gateway = configuration.gateway
        self.uplink = uplink
        isolated = configuration.isolated
    }

    /// Whether the rules' text can hold a name as it is: Linux allows nearly every byte in it, and iptables reads a `+`
    /// at the end as a wildcard.
    static func isDevice(_ name: String) -> Bool {
        (1...15).contains(name.utf8.count) && name.first != "-"
            && name.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
                    true
                default: false
                }
            }
    }

    /// At most 24 bytes of the 28 that iptables takes.
    func name(_ chain: Chain) -> String { "\(Self.prefix)\(bridge)-\(chain.rawValue)" }

    /// The rule by which a built-in chain jumps to one of ours, as ``SavedRules`` has it.
    func jump(to chain: Chain) -> String? {
        chain.caller.map { "\($0.match)-j \(name(chain))" }
    }

    /// A chain's rules, in order.
    func rules(of chain: Chain, forwards: [PortForward]) -> [String] {
        switch chain {
        case .forward: forwardRules
        case .input: inputRules
        // 127.0.0.0/8 is let through to a bridge whose route_localnet is on, for the host's own connections; nobody on
        // the bridge may use that.
        case .prerouting: ["-d 127.0.0.0/8 -j RETURN", "-j \(name(.published))"]
        case .output: ["-j \(name(.published))"]
        case .postrouting: postroutingRules
        case .published: forwards.sorted { $0.key < $1.key }.map(Self.rule)
        }
    }

    private static func rule(_ forward: PortForward) -> String {
        let transport = forward.port.transport.rawValue
        return "-p \(transport) -m \(transport) --dport \(forward.port.hostPort) "
            + "-j DNAT --to-destination \(forward.address):\(forward.port.guestPort)"
    }

    private static let reject = "-j REJECT --reject-with icmp-port-unreachable"
    private static let isInvalid = "-m conntrack --ctstate INVALID"
    private static let isKnown = "-m conntrack --ctstate RELATED,ESTABLISHED"
    /// Whoever translated the destination meant the instance: our published ports, or an operator by hand.
    private static let isTranslated = "-m conntrack --ctstate DNAT"

    private var forwardRules: [String] {
        var rules = [
            "-s \(subnet) ! -i \(bridge) -j DROP",
            "! -i \(bridge) ! -o \(bridge) -j RETURN",
            "! -s \(subnet) -i \(bridge) -j DROP",
            "\(Self.isInvalid) -j DROP",
            "\(Self.isKnown) -j ACCEPT",
            // By the address that the instance asked for: some hosts translate that of the metadata service.
            "-i \(bridge) -m conntrack --ctorigdst 169.254.0.0/16 \(Self.reject)",
            "-o \(bridge) \(Self.isTranslated) -j ACCEPT",
            // Routed through the gateway, and with br_netfilter also what is bridged from port to port.
            "-i \(bridge) -o \(bridge) \(isolated ? Self.reject : "-j ACCEPT")",
        ]
        if let uplink { rules.append("-i \(bridge) -o \(uplink) -j ACCEPT") }
        return rules + ["-i \(bridge) \(Self.reject)", "-j DROP"]
    }

    private var inputRules: [String] {
        [
            "-i lo -j RETURN",
            "-s \(subnet) ! -i \(bridge) -j DROP",
            "! -i \(bridge) -j RETURN",
            "\(Self.isInvalid) -j DROP",
            // DHCP before there is an address (RFC 2131, 4.1).
            "-d 255.255.255.255/32 -p udp -m udp --sport 68 --dport 67 -j ACCEPT",
            "! -s \(subnet) -j DROP",
            "\(Self.isKnown) -j ACCEPT",
            "-d \(gateway)/32 -p udp -m udp --dport 53 -j ACCEPT",
            "-d \(gateway)/32 -p tcp -m tcp --dport 53 -j ACCEPT",
            "-d \(gateway)/32 -p udp -m udp --dport 67 -j ACCEPT",
            "-d \(gateway)/32 -p icmp -m icmp --icmp-type 8 -j ACCEPT",
            Self.reject,
        ]
    }

    private var postroutingRules: [String] {
        var rules = [
            // A published port on localhost: the instance could not answer to 127.0.0.1.
            "-s 127.0.0.0/8 -o \(bridge) -j MASQUERADE",
            // An instance at another's published port: the answer would not come by the host, which must translate it.
            "-s \(subnet) -d \(subnet) -o \(bridge) \(Self.isTranslated) -j MASQUERADE",
        ]
        if let uplink { rules.append("-s \(subnet) ! -d \(subnet) -o \(uplink) -j MASQUERADE") }
        return rules
    }
}

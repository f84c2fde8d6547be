import AgentCore

/// The zones of the DNS in which the addresses of a subnet have their names (RFC 1035, 3.5).
enum ReverseZones {
    /// The fewest zones that hold the subnet's addresses and no others: at most 128, as zones end at whole bytes.
    static func names(of subnet: IPv4Subnet) -> [String] {
        let length = max(8, (subnet.prefixLength + 7) / 8 * 8)
        let count = 1 << max(0, length - subnet.prefixLength)
        return (0..<count).map { number in
            let zone = subnet.base + UInt32(number) << UInt32(32 - length)
            return zone.bytes.prefix(length / 8).reversed().map(String.init).joined(separator: ".") + ".in-addr.arpa"
        }
    }
}

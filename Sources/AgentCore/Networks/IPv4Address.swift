/// An IPv4 address, written dotted (`10.100.0.2`).
public struct IPv4Address: Sendable, Hashable, Comparable {
    /// The address as a number, its first byte the highest.
    public var value: UInt32

    public init(value: UInt32) { self.value = value }

    /// Its four bytes, in the order in which they are sent.
    public var bytes: [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * $0)) } }

    public static func < (lhs: IPv4Address, rhs: IPv4Address) -> Bool { lhs.value < rhs.value }

    /// The address `count` further.
    public static func + (address: IPv4Address, count: UInt32) -> IPv4Address {
        IPv4Address(value: address.value &+ count)
    }
}

extension IPv4Address: LosslessStringConvertible {
    /// Reads four decimal numbers with dots; leading zeros, which some read as octal, are refused.
    public init?(_ description: String) {
        let parts = description.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        value = 0
        for part in parts {
            guard (1...3).contains(part.utf8.count), part.utf8.allSatisfy({ (48...57).contains($0) }),
                part.utf8.count == 1 || part.utf8.first != 48, let byte = UInt8(part)
            else { return nil }
            value = value << 8 | UInt32(byte)
        }
    }

    public var description: String { bytes.map(String.init).joined(separator: ".") }
}

extension IPv4Address: Codable {
    public init(from decoder: any Decoder) throws { self = try decoder.decodeText() }
    public func encode(to encoder: any Encoder) throws { try encoder.encodeText(self) }
}

/// A block of IPv4 addresses, written `10.100.0.0/16` (RFC 4632).
public struct IPv4Subnet: Sendable, Hashable {
    /// The first address of the block.
    public let base: IPv4Address
    /// How many leading bits its addresses have in common: 0 to 32.
    public let prefixLength: Int

    /// The block of a given size that an address is in; nil if the length is not 0 to 32.
    public init?(containing address: IPv4Address, prefixLength: Int) {
        guard (0...32).contains(prefixLength) else { return nil }
        self.prefixLength = prefixLength
        base = IPv4Address(value: address.value & Self.mask(prefixLength))
    }

    private static func mask(_ length: Int) -> UInt32 { length == 0 ? 0 : ~0 << (32 - length) }

    /// As `255.255.0.0`.
    public var netmask: IPv4Address { IPv4Address(value: Self.mask(prefixLength)) }
    /// The last address, which reaches all.
    public var broadcast: IPv4Address { IPv4Address(value: base.value | ~Self.mask(prefixLength)) }

    /// The addresses that hosts can have: without the first, which names the block, and the last, the broadcast.
    ///
    /// Empty for /31 and /32.
    public var hosts: Range<UInt32> {
        prefixLength >= 31 ? base.value..<base.value : base.value + 1..<broadcast.value
    }

    public func contains(_ address: IPv4Address) -> Bool { address.value & Self.mask(prefixLength) == base.value }

    /// Whether any address is in both.
    public func overlaps(_ other: IPv4Subnet) -> Bool { contains(other.base) || other.contains(base) }
}

extension IPv4Subnet: LosslessStringConvertible {
    /// Reads an address and a prefix length; an address that is not the block's first is refused, as it is most likely
    /// a mistake.
    public init?(_ description: String) {
        let parts = description.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let address = IPv4Address(String(parts[0])), parts[1].utf8.count <= 2,
            parts[1].utf8.allSatisfy({ (48...57).contains($0) }), let length = Int(parts[1]),
            let subnet = IPv4Subnet(containing: address, prefixLength: length), subnet.base == address
        else { return nil }
        self = subnet
    }

    public var description: String { "\(base)/\(prefixLength)" }
}

extension IPv4Subnet: Codable {
    public init(from decoder: any Decoder) throws { self = try decoder.decodeText() }
    public func encode(to encoder: any Encoder) throws { try encoder.encodeText(self) }
}

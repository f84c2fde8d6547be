/// An Ethernet address, written in lower case with colons (`02:68:0a:64:00:02`).
public struct MACAddress: Sendable, Hashable {
    /// Its six bytes, in the order in which they are sent.
    public let bytes: [UInt8]

    /// nil unless there are six.
    public init?(bytes: [UInt8]) {
        guard bytes.count == 6 else { return nil }
        self.bytes = bytes
    }

    /// The address of the one card that may use an IPv4 address, from which it is derived and so as unique as that.
    ///
    /// Locally administered and unicast (IEEE 802-2014, 8.4); the second byte sets it apart from those that other
    /// systems derive in the same way (Docker's begin with 02:42).
    public init(derivedFrom address: IPv4Address) { bytes = [0x02, 0x68] + address.bytes }
}

extension MACAddress: LosslessStringConvertible {
    public init?(_ description: String) {
        let parts = description.split(separator: ":", omittingEmptySubsequences: false)
        let bytes = parts.compactMap { $0.utf8.count == 2 && $0.allSatisfy(\.isHexDigit) ? UInt8($0, radix: 16) : nil }
        guard parts.count == 6 else { return nil }
        self.init(bytes: bytes)
    }

    public var description: String {
        bytes.map { $0 < 16 ? "0" + String($0, radix: 16) : String($0, radix: 16) }.joined(separator: ":")
    }
}

extension MACAddress: Codable {
    public init(from decoder: any Decoder) throws { self = try decoder.decodeText() }
    public func encode(to encoder: any Encoder) throws { try encoder.encodeText(self) }
}

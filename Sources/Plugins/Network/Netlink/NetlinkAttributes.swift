import CNetwork

/// The attributes of a message from the kernel, or of one of its attributes (netlink(7)).
///
/// Reads nothing outside of the bytes that it is given: an attribute that claims to be longer ends the list, as it does
/// in the kernel's own parser.
struct NetlinkAttributes: Sendable {
    private let bytes: ArraySlice<UInt8>
    private static let headerSize = 4

    init(_ bytes: ArraySlice<UInt8>) { self.bytes = bytes }

    /// Calls `body` with each attribute's type, without its flags, and its content.
    func forEach(_ body: (UInt16, ArraySlice<UInt8>) throws -> Void) rethrows {
        var rest = bytes
        while let length = rest.number(UInt16.self), let type = rest.dropFirst(2).number(UInt16.self),
            Int(length) >= Self.headerSize, Int(length) <= rest.count
        {
            try body(type & ~UInt16(NLA_F_NESTED | NLA_F_NET_BYTEORDER), rest.prefix(Int(length)).dropFirst(4))
            let aligned = (Int(length) + NetlinkMessage.alignment - 1) & ~(NetlinkMessage.alignment - 1)
            rest = rest.dropFirst(aligned)
        }
    }

    /// The content of the first of a type.
    subscript(type: some BinaryInteger) -> ArraySlice<UInt8>? {
        var found: ArraySlice<UInt8>?
        forEach { if found == nil, $0 == UInt16(type) { found = $1 } }
        return found
    }

    /// Those within one.
    func nested(_ type: some BinaryInteger) -> NetlinkAttributes? {
        self[type].map(NetlinkAttributes.init)
    }

    /// A number in the host's byte order; nil if there is none or it is of another size.
    func number<Number: FixedWidthInteger & BitwiseCopyable>(_ type: some BinaryInteger, _: Number.Type = Number.self)
        -> Number?
    {
        guard let content = self[type], content.count == MemoryLayout<Number>.size else { return nil }
        return content.number(Number.self)
    }

    /// Text up to a NUL, if there is one.
    func text(_ type: some BinaryInteger) -> String? {
        self[type].map { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
}

extension ArraySlice<UInt8> {
    /// A number at the start, in the host's byte order; nil if the bytes are too few.
    func number<Number: FixedWidthInteger & BitwiseCopyable>(_: Number.Type) -> Number? {
        value(Number.self)
    }

    /// One of the kernel's structures at the start; nil if the bytes are too few.
    func value<Value: BitwiseCopyable>(_: Value.Type) -> Value? {
        guard count >= MemoryLayout<Value>.size else { return nil }
        return withUnsafeBytes { $0.loadUnaligned(as: Value.self) }
    }
}

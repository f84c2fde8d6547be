/// One D-Bus value together with its type.
public enum Value: Sendable, Hashable {
    case byte(UInt8)
    case boolean(Bool)
    case int16(Int16)
    case uint16(UInt16)
    case int32(Int32)
    case uint32(UInt32)
    case int64(Int64)
    case uint64(UInt64)
    case double(Double)
    case string(String)
    case objectPath(ObjectPath)
    case signature(String)
    case descriptor(UnixDescriptor)
    /// An array of bytes, `ay`.
    case bytes([UInt8])
    /// Any other array; `element` is the signature of its elements, which an empty array needs too.
    case array(element: String, [Value])
    case structure([Value])
    case dictionary(key: String, value: String, [Entry])
    indirect case variant(Value)

    /// A dictionary's key and value; their order is kept.
    public struct Entry: Sendable, Hashable {
        public var key: Value
        public var value: Value

        public init(_ key: Value, _ value: Value) {
            self.key = key
            self.value = value
        }
    }

    /// The D-Bus type signature, as in introspection data.
    public var signature: String {
        switch self {
        case .byte: "y"
        case .boolean: "b"
        case .int16: "n"
        case .uint16: "q"
        case .int32: "i"
        case .uint32: "u"
        case .int64: "x"
        case .uint64: "t"
        case .double: "d"
        case .string: "s"
        case .objectPath: "o"
        case .signature: "g"
        case .descriptor: "h"
        case .bytes: "ay"
        case .array(let element, _): "a" + element
        case .structure(let fields): "(" + fields.map(\.signature).joined() + ")"
        case .dictionary(let key, let value, _): "a{" + key + value + "}"
        case .variant: "v"
        }
    }

    /// A dictionary `a{sv}` with its entries in the given order.
    public static func properties(_ entries: [(String, Value)]) -> Value {
        .dictionary(key: "s", value: "v", entries.map { Entry(.string($0.0), .variant($0.1)) })
    }

    /// What is inside, if it is a variant.
    var unwrapped: Value {
        guard case .variant(let value) = self else { return self }
        return value
    }
}

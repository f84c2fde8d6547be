/// A Swift type with one D-Bus type.
///
/// Exported methods and properties are declared in terms of these, so that the introspection data can't disagree with the
/// code.
public protocol DBusRepresentable: Sendable {
    static var dbusSignature: String { get }
    /// nil if `value` has another type, or is none of this one's values.
    init?(_ value: Value)
    var dbusValue: Value { get }
}

extension String: DBusRepresentable {
    public static var dbusSignature: String { "s" }
    public init?(_ value: Value) {
        guard case .string(let string) = value else { return nil }
        self = string
    }
    public var dbusValue: Value { .string(self) }
}

extension Bool: DBusRepresentable {
    public static var dbusSignature: String { "b" }
    public init?(_ value: Value) {
        guard case .boolean(let bool) = value else { return nil }
        self = bool
    }
    public var dbusValue: Value { .boolean(self) }
}

extension UInt8: DBusRepresentable {
    public static var dbusSignature: String { "y" }
    public init?(_ value: Value) {
        guard case .byte(let number) = value else { return nil }
        self = number
    }
    public var dbusValue: Value { .byte(self) }
}

extension UInt16: DBusRepresentable {
    public static var dbusSignature: String { "q" }
    public init?(_ value: Value) {
        guard case .uint16(let number) = value else { return nil }
        self = number
    }
    public var dbusValue: Value { .uint16(self) }
}

extension Int32: DBusRepresentable {
    public static var dbusSignature: String { "i" }
    public init?(_ value: Value) {
        guard case .int32(let number) = value else { return nil }
        self = number
    }
    public var dbusValue: Value { .int32(self) }
}

extension UInt32: DBusRepresentable {
    public static var dbusSignature: String { "u" }
    public init?(_ value: Value) {
        guard case .uint32(let number) = value else { return nil }
        self = number
    }
    public var dbusValue: Value { .uint32(self) }
}

extension Int64: DBusRepresentable {
    public static var dbusSignature: String { "x" }
    public init?(_ value: Value) {
        guard case .int64(let number) = value else { return nil }
        self = number
    }
    public var dbusValue: Value { .int64(self) }
}

extension UInt64: DBusRepresentable {
    public static var dbusSignature: String { "t" }
    public init?(_ value: Value) {
        guard case .uint64(let number) = value else { return nil }
        self = number
    }
    public var dbusValue: Value { .uint64(self) }
}

extension Double: DBusRepresentable {
    public static var dbusSignature: String { "d" }
    public init?(_ value: Value) {
        guard case .double(let number) = value else { return nil }
        self = number
    }
    public var dbusValue: Value { .double(self) }
}

extension ObjectPath: DBusRepresentable {
    public static var dbusSignature: String { "o" }
    public init?(_ value: Value) {
        guard case .objectPath(let path) = value else { return nil }
        self = path
    }
    public var dbusValue: Value { .objectPath(self) }
}

extension UnixDescriptor: DBusRepresentable {
    public static var dbusSignature: String { "h" }
    public convenience init?(_ value: Value) {
        guard case .descriptor(let descriptor) = value, let number = descriptor.take() else { return nil }
        self.init(owning: number)
    }
    public var dbusValue: Value { .descriptor(self) }
}

/// A value of any type, with its type: D-Bus's variant.
public struct Variant: DBusRepresentable, Hashable {
    public static var dbusSignature: String { "v" }
    public var value: Value

    public init(_ value: Value) {
        guard case .variant(let inner) = value else {
            self.value = value
            return
        }
        self.value = inner
    }
    public var dbusValue: Value { .variant(value) }
}

extension Array: DBusRepresentable where Element: DBusRepresentable {
    public static var dbusSignature: String { "a" + Element.dbusSignature }
    public init?(_ value: Value) {
        if case .bytes(let bytes) = value {
            guard Element.self == UInt8.self, let bytes = bytes as? [Element] else { return nil }
            self = bytes
            return
        }
        guard case .array(_, let values) = value else { return nil }
        var elements: [Element] = []
        elements.reserveCapacity(values.count)
        for value in values {
            guard let element = Element(value) else { return nil }
            elements.append(element)
        }
        self = elements
    }
    public var dbusValue: Value {
        // Swift takes an empty array for one of any type.
        if Element.self == UInt8.self, let bytes = self as? [UInt8] { return .bytes(bytes) }
        return .array(element: Element.dbusSignature, map(\.dbusValue))
    }
}

extension Dictionary: DBusRepresentable where Key: DBusRepresentable & Comparable, Value: DBusRepresentable {
    public static var dbusSignature: String { "a{\(Key.dbusSignature)\(Value.dbusSignature)}" }
    /// nil also for a key that is there twice.
    public init?(_ value: DBus.Value) {
        guard case .dictionary(_, _, let entries) = value else { return nil }
        self.init(minimumCapacity: entries.count)
        for entry in entries {
            guard let key = Key(entry.key), let value = Value(entry.value), updateValue(value, forKey: key) == nil
            else {
                return nil
            }
        }
    }
    public var dbusValue: DBus.Value {
        .dictionary(
            key: Key.dbusSignature,
            value: Value.dbusSignature,
            sorted { $0.key < $1.key }.map { DBus.Value.Entry($0.key.dbusValue, $0.value.dbusValue) }
        )
    }
}

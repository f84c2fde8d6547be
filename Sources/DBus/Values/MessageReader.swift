import CDBus

/// What a message may contain before it is refused.
///
/// A byte on the wire can be fifty in memory, so the bus's own bound on messages is not enough.
public struct MessageBudget: Sendable {
    /// Values, of which a container is one and each of its elements another; an array of bytes is one.
    public var values: Int
    /// Bytes of strings, paths, signatures and arrays of bytes.
    public var bytes: Int

    public init(values: Int, bytes: Int) {
        self.values = values
        self.bytes = bytes
    }
}

/// libdbus's type codes are casts of character literals, which Swift doesn't import.
enum TypeCode {
    static let invalid: Int32 = 0
    static func of(_ character: Unicode.Scalar) -> Int32 { Int32(character.value) }
    static let byte = of("y")
    static let structure = of("r")
    static let array = of("a")
    static let entry = of("e")
    static let variant = of("v")
}

/// Copies the values of a message out of libdbus's memory.
///
/// libdbus has validated the message: nesting, UTF-8, paths and signatures are right.
struct MessageReader {
    private var budget: MessageBudget

    init(_ budget: MessageBudget) { self.budget = budget }

    /// All arguments of a message.
    ///
    /// - Throws: `LimitsExceeded` if they are more than the budget allows.
    mutating func arguments(of message: OpaquePointer) throws(DBusError) -> [Value] {
        var iterator = DBusMessageIter()
        guard dbus_message_iter_init(message, &iterator) != 0 else { return [] }
        return try all(&iterator)
    }

    private mutating func all(_ iterator: inout DBusMessageIter) throws(DBusError) -> [Value] {
        var values: [Value] = []
        while dbus_message_iter_get_arg_type(&iterator) != TypeCode.invalid {
            values.append(try next(&iterator))
            dbus_message_iter_next(&iterator)
        }
        return values
    }

    private mutating func spend(values: Int = 0, bytes: Int = 0) throws(DBusError) {
        budget.values -= values
        budget.bytes -= bytes
        guard budget.values >= 0, budget.bytes >= 0 else {
            throw .standard(.limitsExceeded, "the message contains more than is taken at a time")
        }
    }

    private mutating func next(_ iterator: inout DBusMessageIter) throws(DBusError) -> Value {
        try spend(values: 1)
        switch Unicode.Scalar(UInt8(dbus_message_iter_get_arg_type(&iterator))) {
        case "y": return .byte(basic(&iterator, 0))
        case "b": return .boolean(basic(&iterator, UInt32(0)) != 0)
        case "n": return .int16(basic(&iterator, 0))
        case "q": return .uint16(basic(&iterator, 0))
        case "i": return .int32(basic(&iterator, 0))
        case "u": return .uint32(basic(&iterator, 0))
        case "x": return .int64(basic(&iterator, 0))
        case "t": return .uint64(basic(&iterator, 0))
        case "d": return .double(basic(&iterator, 0))
        case "s": return .string(try text(&iterator))
        case "o": return .objectPath(ObjectPath(trusted: try text(&iterator)))
        case "g": return .signature(try text(&iterator))
        case "h": return try descriptor(&iterator)
        case "v":
            var inner = DBusMessageIter()
            dbus_message_iter_recurse(&iterator, &inner)
            return .variant(try next(&inner))
        case "r":
            var inner = DBusMessageIter()
            dbus_message_iter_recurse(&iterator, &inner)
            return .structure(try all(&inner))
        case "a": return try array(&iterator)
        default: throw .standard(.invalidArguments, "a value has a type that is not known")
        }
    }

    private func basic<T: BitwiseCopyable>(_ iterator: inout DBusMessageIter, _ initial: T) -> T {
        var value = initial
        dbus_message_iter_get_basic(&iterator, &value)
        return value
    }

    private mutating func text(_ iterator: inout DBusMessageIter) throws(DBusError) -> String {
        guard let pointer = basic(&iterator, UnsafePointer<CChar>?.none) else { return "" }
        let text = String(cString: pointer)
        try spend(bytes: text.utf8.count)
        return text
    }

    private func descriptor(_ iterator: inout DBusMessageIter) throws(DBusError) -> Value {
        // libdbus hands out a duplicate (with FD_CLOEXEC), which is the reader's to close.
        let number = basic(&iterator, Int32(-1))
        guard number >= 0 else {
            throw .standard(.limitsExceeded, "the message's file descriptor cannot be duplicated")
        }
        return .descriptor(UnixDescriptor(owning: number))
    }

    private mutating func array(_ iterator: inout DBusMessageIter) throws(DBusError) -> Value {
        guard let pointer = dbus_message_iter_get_signature(&iterator) else {
            throw .standard(.limitsExceeded, "out of memory")
        }
        let signature = String(cString: pointer)
        dbus_free(pointer)
        var inner = DBusMessageIter()
        dbus_message_iter_recurse(&iterator, &inner)
        switch dbus_message_iter_get_element_type(&iterator) {
        case TypeCode.byte: return .bytes(try bytes(&inner))
        case TypeCode.entry:
            var entries: [Value.Entry] = []
            while dbus_message_iter_get_arg_type(&inner) == TypeCode.entry {
                var entry = DBusMessageIter()
                dbus_message_iter_recurse(&inner, &entry)
                let key = try next(&entry)
                dbus_message_iter_next(&entry)
                entries.append(Value.Entry(key, try next(&entry)))
                dbus_message_iter_next(&inner)
            }
            // a{kv…}: a key is one character, as a basic type is.
            let body = signature.dropFirst(2).dropLast()
            return .dictionary(key: String(body.prefix(1)), value: String(body.dropFirst()), entries)
        default:
            return .array(element: String(signature.dropFirst()), try all(&inner))
        }
    }

    private mutating func bytes(_ inner: inout DBusMessageIter) throws(DBusError) -> [UInt8] {
        guard dbus_message_iter_get_arg_type(&inner) == TypeCode.byte else { return [] }
        var pointer: UnsafePointer<UInt8>?
        var count: Int32 = 0
        dbus_message_iter_get_fixed_array(&inner, &pointer, &count)
        guard let pointer, count > 0 else { return [] }
        try spend(bytes: Int(count))
        return Array(UnsafeBufferPointer(start: pointer, count: Int(count)))
    }
}

import CDBus
import Glibc

/// Puts values into a message of libdbus.
///
/// libdbus aborts the process, or writes nonsense, on what is not valid, so everything is checked before it is written.
struct MessageWriter: ~Copyable {
    /// The specification's bound on nested arrays, and on nested structures.
    private static let deepestNesting = 32
    /// The specification's bound on an array, in bytes.
    private static let longestArray = 64 << 20
    /// What libdbus and the bus take with one message.
    private static let mostDescriptors = 16

    private var descriptors = 0

    /// Appends the arguments of a message.
    ///
    /// - Throws: `InvalidArgs` if they are not valid; the message is of no use then.
    static func append(_ values: [Value], to message: OpaquePointer) throws(DBusError) {
        var iterator = DBusMessageIter()
        dbus_message_iter_init_append(message, &iterator)
        var writer = MessageWriter()
        for value in values { try writer.append(value, to: &iterator, depth: 0) }
    }

    // MARK: Checks

    private static func invalid(_ what: String) -> DBusError { .standard(.invalidArguments, what) }

    /// Whether a value has a type; the usual ones without making a string.
    private static func has(_ value: Value, _ signature: String) -> Bool {
        switch value {
        case .variant: signature == "v"
        case .string: signature == "s"
        default: value.signature == signature
        }
    }

    private static func isBasic(_ signature: String) -> Bool {
        signature.utf8.count == 1 && signature.allSatisfy { "ybnqiuxtdsogh".contains($0) }
    }

    private static func check(signature text: String) throws(DBusError) {
        guard !text.utf8.contains(0), dbus_signature_validate(text, nil) != 0 else {
            throw invalid("'\(text.prefix(100))' is not a signature")
        }
    }

    private static func check(singleSignature text: String) throws(DBusError) {
        // The usual ones need no call.
        guard text != "v", text != "s" else { return }
        guard !text.utf8.contains(0), dbus_signature_validate_single(text, nil) != 0 else {
            throw invalid("'\(text.prefix(100))' is not one type")
        }
    }

    // MARK: Writing

    private mutating func append(
        _ value: Value,
        to iterator: inout DBusMessageIter,
        depth: Int
    ) throws(DBusError) {
        guard depth <= Self.deepestNesting else {
            throw Self.invalid("values are nested more than \(Self.deepestNesting) deep")
        }
        switch value {
        case .byte(let number): try Self.basic("y", number, &iterator)
        case .boolean(let flag): try Self.basic("b", UInt32(flag ? 1 : 0), &iterator)
        case .int16(let number): try Self.basic("n", number, &iterator)
        case .uint16(let number): try Self.basic("q", number, &iterator)
        case .int32(let number): try Self.basic("i", number, &iterator)
        case .uint32(let number): try Self.basic("u", number, &iterator)
        case .int64(let number): try Self.basic("x", number, &iterator)
        case .uint64(let number): try Self.basic("t", number, &iterator)
        case .double(let number): try Self.basic("d", number, &iterator)
        case .string(let string): try Self.text("s", string, &iterator)
        case .objectPath(let path): try Self.text("o", path.description, &iterator)
        case .signature(let signature):
            try Self.check(signature: signature)
            try Self.text("g", signature, &iterator)
        case .descriptor(let descriptor): try append(descriptor, to: &iterator)
        case .bytes(let bytes): try Self.append(bytes, to: &iterator)
        case .variant(let inner):
            let signature = inner.signature
            if signature.utf8.count > 1 { try Self.check(singleSignature: signature) }
            try Self.container(TypeCode.variant, signature, &iterator) { contents throws(DBusError) in
                try append(inner, to: &contents, depth: depth + 1)
            }
        case .structure(let fields):
            guard !fields.isEmpty else { throw Self.invalid("a structure has no fields") }
            try Self.container(TypeCode.structure, nil, &iterator) { contents throws(DBusError) in
                for field in fields { try append(field, to: &contents, depth: depth + 1) }
            }
        case .array(let element, let values):
            try Self.check(singleSignature: element)
            try Self.container(TypeCode.array, element, &iterator) { contents throws(DBusError) in
                for value in values {
                    guard Self.has(value, element) else {
                        throw Self.invalid("an array of '\(element)' has a '\(value.signature)'")
                    }
                    try append(value, to: &contents, depth: depth + 1)
                }
            }
        case .dictionary(let key, let element, let entries):
            try appendDictionary(key, element, entries, to: &iterator, depth: depth)
        }
    }

    private mutating func appendDictionary(
        _ key: String,
        _ element: String,
        _ entries: [Value.Entry],
        to iterator: inout DBusMessageIter,
        depth: Int
    ) throws(DBusError) {
        guard Self.isBasic(key) else { throw Self.invalid("'\(key)' is no type for keys") }
        try Self.check(singleSignature: element)
        try Self.container(TypeCode.array, "{\(key)\(element)}", &iterator) { contents throws(DBusError) in
            for entry in entries {
                guard Self.has(entry.key, key), Self.has(entry.value, element) else {
                    throw Self.invalid(
                        "a dictionary of '\(key)' and '\(element)' has a '\(entry.key.signature)' with a "
                            + "'\(entry.value.signature)'"
                    )
                }
                try Self.container(TypeCode.entry, nil, &contents) { pair throws(DBusError) in
                    try append(entry.key, to: &pair, depth: depth + 1)
                    try append(entry.value, to: &pair, depth: depth + 1)
                }
            }
        }
    }

    private mutating func append(
        _ descriptor: UnixDescriptor,
        to iterator: inout DBusMessageIter
    ) throws(DBusError) {
        descriptors += 1
        guard descriptors <= Self.mostDescriptors else {
            throw Self.invalid("more than \(Self.mostDescriptors) file descriptors")
        }
        // libdbus duplicates it; ours is closed with its last owner.
        let isWritten = descriptor.withDescriptor { number in
            var number = number
            return dbus_message_iter_append_basic(&iterator, TypeCode.of("h"), &number) != 0
        }
        guard isWritten == true else { throw Self.invalid("a file descriptor is closed, or cannot be duplicated") }
    }

    private static func append(_ bytes: [UInt8], to iterator: inout DBusMessageIter) throws(DBusError) {
        guard bytes.count <= longestArray else { throw invalid("an array is longer than \(longestArray) bytes") }
        try container(TypeCode.array, "y", &iterator) { inner throws(DBusError) in
            guard !bytes.isEmpty else { return }
            let isWritten = bytes.withUnsafeBufferPointer { buffer in
                var start = buffer.baseAddress
                return dbus_message_iter_append_fixed_array(&inner, TypeCode.byte, &start, Int32(buffer.count)) != 0
            }
            guard isWritten else { throw outOfMemory }
        }
    }

    private static var outOfMemory: DBusError { .standard(.limitsExceeded, "out of memory") }

    private static func basic<T: BitwiseCopyable>(
        _ type: Unicode.Scalar,
        _ value: T,
        _ iterator: inout DBusMessageIter
    ) throws(DBusError) {
        var value = value
        guard dbus_message_iter_append_basic(&iterator, TypeCode.of(type), &value) != 0 else { throw outOfMemory }
    }

    private static func text(
        _ type: Unicode.Scalar,
        _ string: String,
        _ iterator: inout DBusMessageIter
    ) throws(DBusError) {
        let error = string.withCString { pointer -> DBusError? in
            guard strlen(pointer) == string.utf8.count else { return invalid("a string contains NUL") }
            var pointer: UnsafePointer<CChar>? = pointer
            return dbus_message_iter_append_basic(&iterator, TypeCode.of(type), &pointer) != 0 ? nil : outOfMemory
        }
        if let error { throw error }
    }

    private static func container(
        _ code: Int32,
        _ contents: String?,
        _ iterator: inout DBusMessageIter,
        _ body: (inout DBusMessageIter) throws(DBusError) -> Void
    ) throws(DBusError) {
        var inner = DBusMessageIter()
        guard dbus_message_iter_open_container(&iterator, code, contents, &inner) != 0 else { throw outOfMemory }
        do {
            try body(&inner)
        } catch {
            dbus_message_iter_abandon_container(&iterator, &inner)
            throw error
        }
        guard dbus_message_iter_close_container(&iterator, &inner) != 0 else { throw outOfMemory }
    }
}

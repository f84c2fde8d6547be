import CDBus

/// Puts values into a message of libdbus.
///
/// libdbus aborts the process, or writes nonsense, on what is not valid, so everything is checked first.
enum MessageWriter {
    /// The specification's bound on nested arrays, and on nested structures.
    private static let deepestNesting = 32
    /// The specification's bound on an array, in bytes.
    private static let longestArray = 64 << 20
    /// What libdbus and the bus take with one message.
    private static let mostDescriptors = 16

    /// Appends the arguments of a message.
    ///
    /// - Throws: `InvalidArgs` if they are not valid; the message is of no use then.
    static func append(_ values: [Value], to message: OpaquePointer) throws(DBusError) {
        var descriptors = 0
        for value in values { try check(value, depth: 0, descriptors: &descriptors) }
        var iterator = DBusMessageIter()
        dbus_message_iter_init_append(message, &iterator)
        for value in values { try append(value, to: &iterator) }
    }

    private static func invalid(_ what: String) -> DBusError { .standard(.invalidArguments, what) }

    // MARK: Checks

    private static func check(_ value: Value, depth: Int, descriptors: inout Int) throws(DBusError) {
        guard depth <= deepestNesting else { throw invalid("values are nested more than \(deepestNesting) deep") }
        switch value {
        case .byte, .boolean, .int16, .uint16, .int32, .uint32, .int64, .uint64, .double, .objectPath: break
        case .string(let text):
            guard !text.utf8.contains(0) else { throw invalid("a string contains NUL") }
        case .signature(let text): try check(signature: text)
        case .descriptor:
            descriptors += 1
            guard descriptors <= mostDescriptors else { throw invalid("more than \(mostDescriptors) file descriptors") }
        case .bytes(let bytes):
            guard bytes.count <= longestArray else { throw invalid("an array is longer than \(longestArray) bytes") }
        case .array(let element, let values):
            try check(singleSignature: element)
            for value in values {
                guard has(value, element) else { throw invalid("an array of '\(element)' has a '\(value.signature)'") }
                try check(value, depth: depth + 1, descriptors: &descriptors)
            }
        case .structure(let fields):
            guard !fields.isEmpty else { throw invalid("a structure has no fields") }
            for field in fields { try check(field, depth: depth + 1, descriptors: &descriptors) }
        case .dictionary(let key, let element, let entries):
            guard isBasic(key) else { throw invalid("'\(key)' is no type for keys") }
            try check(singleSignature: element)
            for entry in entries {
                guard has(entry.key, key), has(entry.value, element) else {
                    throw invalid(
                        "a dictionary of '\(key)' and '\(element)' has a '\(entry.key.signature)' with a "
                            + "'\(entry.value.signature)'"
                    )
                }
                try check(entry.key, depth: depth + 1, descriptors: &descriptors)
                try check(entry.value, depth: depth + 1, descriptors: &descriptors)
            }
        case .variant(let inner): try check(inner, depth: depth + 1, descriptors: &descriptors)
        }
    }

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

    private static func append(_ value: Value, to iterator: inout DBusMessageIter) throws(DBusError) {
        switch value {
        case .byte(let number): try basic("y", number, &iterator)
        case .boolean(let flag): try basic("b", UInt32(flag ? 1 : 0), &iterator)
        case .int16(let number): try basic("n", number, &iterator)
        case .uint16(let number): try basic("q", number, &iterator)
        case .int32(let number): try basic("i", number, &iterator)
        case .uint32(let number): try basic("u", number, &iterator)
        case .int64(let number): try basic("x", number, &iterator)
        case .uint64(let number): try basic("t", number, &iterator)
        case .double(let number): try basic("d", number, &iterator)
        case .string(let string): try text("s", string, &iterator)
        case .objectPath(let path): try text("o", path.description, &iterator)
        case .signature(let signature): try text("g", signature, &iterator)
        case .descriptor(let descriptor):
            // libdbus duplicates it; ours is closed with its last owner.
            let isWritten = descriptor.withDescriptor { number in
                var number = number
                return dbus_message_iter_append_basic(&iterator, TypeCode.of("h"), &number) != 0
            }
            guard isWritten == true else { throw invalid("a file descriptor is closed, or cannot be duplicated") }
        case .bytes(let bytes):
            try container(TypeCode.array, "y", &iterator) { inner throws(DBusError) in
                guard !bytes.isEmpty else { return }
                let isWritten = bytes.withUnsafeBufferPointer { buffer in
                    var start = buffer.baseAddress
                    return dbus_message_iter_append_fixed_array(&inner, TypeCode.byte, &start, Int32(buffer.count)) != 0
                }
                guard isWritten else { throw outOfMemory }
            }
        case .variant(let value):
            try container(TypeCode.variant, value.signature, &iterator) { inner throws(DBusError) in
                try append(value, to: &inner)
            }
        case .structure(let fields):
            try container(TypeCode.structure, nil, &iterator) { inner throws(DBusError) in
                for field in fields { try append(field, to: &inner) }
            }
        case .array(let element, let values):
            try container(TypeCode.array, element, &iterator) { inner throws(DBusError) in
                for value in values { try append(value, to: &inner) }
            }
        case .dictionary(let key, let value, let entries):
            try container(TypeCode.array, "{\(key)\(value)}", &iterator) { inner throws(DBusError) in
                for entry in entries {
                    try container(TypeCode.entry, nil, &inner) { pair throws(DBusError) in
                        try append(entry.key, to: &pair)
                        try append(entry.value, to: &pair)
                    }
                }
            }
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
        let isWritten = string.withCString { pointer in
            var pointer: UnsafePointer<CChar>? = pointer
            return dbus_message_iter_append_basic(&iterator, TypeCode.of(type), &pointer) != 0
        }
        guard isWritten else { throw outOfMemory }
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

import Logging

/// One entry in the journal's native protocol (systemd's docs/JOURNAL_NATIVE_PROTOCOL).
///
/// A field is `NAME=value` and a newline; one whose value has a newline itself is the name, a newline, the value's length
/// as 64 bits with the lowest byte first, the value, and a newline.
struct JournalEntry: Sendable {
    /// Bytes of one entry; a datagram takes about 200 KiB, and what is longer would have to go through a file.
    static let longest = 64 << 10
    /// Bytes of one value.
    private static let longestValue = 16 << 10
    /// Bytes of a field's name (journal-file.c).
    private static let longestName = 64

    private(set) var bytes: [UInt8] = []

    /// Adds a field; a value that is too long is cut, and one for which there is no room is left out.
    ///
    /// - Parameters:
    ///   - name: Upper-case letters, digits and underscores.
    ///   - value: Any text.
    mutating func add(_ name: String, _ value: String) {
        var value = Array(value.utf8.prefix(Self.longestValue + 1))
        if value.count > Self.longestValue {
            // Not in the middle of a character.
            value.removeLast(value.count - Self.longestValue)
            while let last = value.last, last & 0xc0 == 0x80 { value.removeLast() }
            if let last = value.last, last >= 0xc0 { value.removeLast() }
            value += Array("…".utf8)
        }
        guard bytes.count + name.utf8.count + value.count + 16 <= Self.longest else { return }
        bytes += Array(name.utf8)
        if value.contains(UInt8(ascii: "\n")) {
            bytes.append(UInt8(ascii: "\n"))
            withUnsafeBytes(of: UInt64(value.count).littleEndian) { bytes += $0 }
        } else {
            bytes.append(UInt8(ascii: "="))
        }
        bytes += value
        bytes.append(UInt8(ascii: "\n"))
    }

    /// The field that a key of the log's metadata becomes: `instance` is `HYPEMAN_INSTANCE`.
    static func fieldName(_ key: String) -> String {
        let word = key.utf8.map { byte -> UInt8 in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"): byte - 32
            case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): byte
            default: UInt8(ascii: "_")
            }
        }
        return String(decoding: (Array("HYPEMAN_".utf8) + word).prefix(longestName), as: UTF8.self)
    }

    /// As syslog(3) counts.
    static func priority(of level: Logger.Level) -> Int {
        switch level {
        case .trace, .debug: 7
        case .info: 6
        case .notice: 5
        case .warning: 4
        case .error: 3
        case .critical: 2
        }
    }
}

extension JournalEntry {
    /// Metadata that an entry has as fields; more is in its text alone.
    private static let mostFields = 32

    /// An entry of the agent's log.
    ///
    /// The name of an instance is a second value of `HYPEMAN_INSTANCE`, which the journal allows, so that it is found by
    /// either.
    init(_ event: LogEvent, metadata: Logger.Metadata, identifier: String) {
        let sorted = metadata.sorted { $0.key < $1.key }
        let details = sorted.map { "\($0.key)=\($0.value)" }.joined(separator: " ")
        add("MESSAGE", details.isEmpty ? "\(event.message)" : "\(event.message): \(details)")
        add("PRIORITY", "\(Self.priority(of: event.level))")
        add("SYSLOG_IDENTIFIER", identifier)
        add("CODE_FILE", event.file)
        add("CODE_LINE", "\(event.line)")
        add("CODE_FUNC", event.function)
        for (key, value) in sorted.prefix(Self.mostFields) { add(Self.fieldName(key), "\(value)") }
        if metadata["instance"] != nil, let name = metadata["name"] { add(Self.fieldName("instance"), "\(name)") }
    }
}

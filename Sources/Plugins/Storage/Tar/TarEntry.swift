/// A point in time as file systems keep it.
struct FileTime: Hashable {
    var seconds: Int64 = 0
    var nanoseconds: UInt32 = 0
}

/// One member of a tar archive; names are bytes, since tar knows no encoding.
struct TarEntry {
    enum Kind: Hashable {
        case file
        case hardLink
        case symbolicLink
        case characterDevice
        case blockDevice
        case directory
        case fifo
    }

    var kind: Kind
    var name: [UInt8]
    var linkName: [UInt8] = []
    /// Of the contents that follow.
    var size = 0
    /// Permission, setuid, setgid and sticky bits.
    var mode: UInt16 = 0
    var owner: UInt32 = 0
    var group: UInt32 = 0
    var modified = FileTime()
    var deviceMajor: UInt32 = 0
    var deviceMinor: UInt32 = 0
    /// Name and value, by name.
    var attributes: [(name: [UInt8], value: [UInt8])] = []

    /// The name for an error message: bounded, and free of control characters.
    var printableName: String { Self.printable(name) }

    static func printable(_ name: [UInt8]) -> String {
        let text = String(decoding: name.prefix(200), as: UTF8.self)
        return "'" + text.map { $0.isASCII && ($0.asciiValue ?? 0) < 32 ? "?" : String($0) }.joined() + "'"
            + (name.count > 200 ? "…" : "")
    }
}

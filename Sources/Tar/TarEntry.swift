/// A point in time as file systems keep it.
public struct FileTime: Hashable, Sendable {
    /// Since 1970-01-01 00:00 UTC.
    public var seconds: Int64
    /// On top of the seconds, also before 1970.
    public var nanoseconds: UInt32

    public init(seconds: Int64 = 0, nanoseconds: UInt32 = 0) {
        self.seconds = seconds
        self.nanoseconds = nanoseconds
    }
}

/// One member of a tar archive; names are bytes, since tar knows no encoding.
public struct TarEntry: Sendable {
    public enum Kind: Hashable, Sendable {
        case file
        case hardLink
        case symbolicLink
        case characterDevice
        case blockDevice
        case directory
        case fifo
    }

    public var kind: Kind
    public var name: [UInt8]
    public var linkName: [UInt8] = []
    /// Of the contents that follow.
    public var size = 0
    /// Where the contents belong in a file with holes; nil for a file that is stored whole.
    public var sparse: SparseMap?
    /// Permission, setuid, setgid and sticky bits.
    public var mode: UInt16 = 0
    public var owner: UInt32 = 0
    public var group: UInt32 = 0
    public var modified = FileTime()
    public var deviceMajor: UInt32 = 0
    public var deviceMinor: UInt32 = 0
    /// Name and value, by name.
    public var attributes: [(name: [UInt8], value: [UInt8])] = []

    public init(kind: Kind, name: [UInt8], linkName: [UInt8] = []) {
        self.kind = kind
        self.name = name
        self.linkName = linkName
    }

    /// The name for an error message: bounded, and free of control characters.
    public var printableName: String { Self.printable(name) }

    /// A name for an error message: bounded, and free of control characters.
    public static func printable(_ name: [UInt8]) -> String {
        var text = "'"
        for scalar in String(decoding: name.prefix(200), as: UTF8.self).unicodeScalars {
            // C0, DEL and C1: a terminal would obey them.
            let isControl = scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value)
            text.unicodeScalars.append(isControl ? "?" : scalar)
        }
        return text + (name.count > 200 ? "'…" : "'")
    }
}

/// A member of a tar archive that is being written: ustar (POSIX.1-1988), with a PAX header (POSIX.1-2001, and
/// `SCHILY.xattr` for extended attributes) before it where a value does not fit.
///
/// The same member gives the same bytes.
public struct TarMember: Sendable {
    public enum Kind: UInt8, Sendable {
        case file = 48
        case hardLink
        case symbolicLink
        case characterDevice
        case blockDevice
        case directory
        case fifo
    }

    public var name: [UInt8]
    public var kind = Kind.file
    public var mode: UInt16 = 0o644
    public var owner: UInt32 = 0
    public var group: UInt32 = 0
    public var modified = FileTime()
    /// Of the contents, which the caller writes behind the header.
    public var size = 0
    /// For a file with holes: where its contents belong, which are ``SparseMap/storedSize`` bytes then.
    public var sparse: SparseMap?
    public var linkName: [UInt8] = []
    public var device: (major: UInt32, minor: UInt32) = (0, 0)
    public var attributes: [(name: [UInt8], value: [UInt8])] = []

    public init(_ name: [UInt8]) { self.name = name }

    /// A file of so many bytes.
    public init(file name: String, size: Int) {
        self.init(Array(name.utf8))
        self.size = size
    }

    /// Zeros behind contents, up to whole blocks.
    public static func padding(after size: Int) -> Int { (TarHeader.size - size % TarHeader.size) % TarHeader.size }

    /// Two empty blocks end an archive.
    public static let end = [UInt8](repeating: 0, count: 2 * TarHeader.size)

    /// All that stands before the contents.
    public var header: [UInt8] {
        if let sparse { return sparseHeader(sparse) }
        return header(with: records)
    }

    /// PAX format 1.0 (GNU tar manual): readers that do not know of it find a file of another name, with the map in it.
    private func sparseHeader(_ sparse: SparseMap) -> [UInt8] {
        let map = sparse.encoded
        var member = self
        let base = name.split(separator: 47).last.map(Array.init) ?? []
        member.name = Array("GNUSparseFile.0/".utf8) + base.prefix(84)
        member.size = map.count + size
        var records: [UInt8] = []
        Self.append(Array("GNU.sparse.major".utf8), [49], to: &records)
        Self.append(Array("GNU.sparse.minor".utf8), [48], to: &records)
        Self.append(Array("GNU.sparse.name".utf8), name, to: &records)
        Self.append(Array("GNU.sparse.realsize".utf8), Array(String(sparse.size).utf8), to: &records)
        return member.header(with: records + member.records) + map
    }

    private func header(with records: [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = []
        if !records.isEmpty {
            var extended = TarMember(Array("PaxHeader".utf8))
            extended.size = records.count
            bytes = extended.block(type: 120) + records
            bytes += [UInt8](repeating: 0, count: Self.padding(after: records.count))
        }
        return bytes + block(type: kind.rawValue)
    }

    /// A file with its contents.
    public static func file(_ name: String, _ contents: [UInt8]) -> [UInt8] {
        var member = TarMember(Array(name.utf8))
        member.size = contents.count
        return member.header + contents + [UInt8](repeating: 0, count: padding(after: contents.count))
    }

    private static let largestNumber = (field8: 0o7777777, field12: 0o77777777777)

    private var hasWholeTime: Bool {
        modified.nanoseconds == 0 && (0...Int64(Self.largestNumber.field12)).contains(modified.seconds)
    }

    private var records: [UInt8] {
        var records: [UInt8] = []
        func append(_ key: [UInt8], _ value: [UInt8]) { Self.append(key, value, to: &records) }
        func append(_ key: String, _ value: String) { append(Array(key.utf8), Array(value.utf8)) }
        if name.count > 100 { append(Array("path".utf8), name) }
        if linkName.count > 100 { append(Array("linkpath".utf8), linkName) }
        if Int(owner) > Self.largestNumber.field8 { append("uid", "\(owner)") }
        if Int(group) > Self.largestNumber.field8 { append("gid", "\(group)") }
        if size > Self.largestNumber.field12 { append("size", "\(size)") }
        if !hasWholeTime { append("mtime", Self.text(of: modified)) }
        for attribute in attributes { append(PAXRecords.attributeKeyword(attribute.name), attribute.value) }
        return records
    }

    private static func append(_ key: [UInt8], _ value: [UInt8], to records: inout [UInt8]) {
        // The length counts itself.
        let rest = key.count + value.count + 3
        var length = rest + 1
        while String(length).utf8.count + rest != length { length = String(length).utf8.count + rest }
        records += Array("\(length) ".utf8) + key + [61] + value + [10]
    }

    /// Decimal seconds; nanoseconds count upwards also before the epoch, the digits behind a point do not.
    private static func text(of time: FileTime) -> String {
        guard time.nanoseconds > 0 else { return "\(time.seconds)" }
        let isNegative = time.seconds < 0
        let nanoseconds = isNegative ? 1_000_000_000 - time.nanoseconds : time.nanoseconds
        let whole = isNegative ? -(time.seconds + 1) : time.seconds
        return "\(isNegative ? "-" : "")\(whole).\(String(nanoseconds + 1_000_000_000).dropFirst())"
    }

    private func block(type: UInt8) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: TarHeader.size)
        func put(_ text: some Collection<UInt8>, at offset: Int) {
            for (index, byte) in text.enumerated() { bytes[offset + index] = byte }
        }
        func put(_ number: Int, at offset: Int, digits: Int) {
            let text = String(number, radix: 8)
            put(Array(repeating: 48, count: digits - text.utf8.count) + Array(text.utf8), at: offset)
        }
        func fitting(_ number: Int, _ largest: Int) -> Int { number > largest ? 0 : number }
        put(name.prefix(100), at: 0)
        put(Int(mode), at: 100, digits: 7)
        put(fitting(Int(owner), Self.largestNumber.field8), at: 108, digits: 7)
        put(fitting(Int(group), Self.largestNumber.field8), at: 116, digits: 7)
        put(fitting(size, Self.largestNumber.field12), at: 124, digits: 11)
        // Whole seconds for readers that know no PAX, as far as they have a place.
        let seconds = (0...Int64(Self.largestNumber.field12)).contains(modified.seconds) ? Int(modified.seconds) : 0
        put(seconds, at: 136, digits: 11)
        put(Array("        ".utf8), at: 148)
        bytes[156] = type
        put(linkName.prefix(100), at: 157)
        put(Array("ustar\u{0}00".utf8), at: 257)
        put(Int(device.major), at: 329, digits: 7)
        put(Int(device.minor), at: 337, digits: 7)
        put(bytes.reduce(0) { $0 + Int($1) }, at: 148, digits: 6)
        bytes[154] = 0
        return bytes
    }
}

/// Writes tar archives for tests, honest and hostile ones: every field can be set, nothing is checked.
public struct TarBuilder {
    /// One member.
    public struct Member {
        public var name: String
        public var type: Character = "0"
        public var mode = 0o644
        public var owner = 0
        public var group = 0
        public var modified = 0
        public var nanoseconds = 0
        public var linkName = ""
        public var device: (major: Int, minor: Int) = (0, 0)
        public var contents: [UInt8] = []
        /// Written to the header instead of the contents' size.
        public var claimedSize: Int?
        /// Extended attributes, as PAX records.
        public var attributes: [String: [UInt8]] = [:]

        public init(_ name: String) { self.name = name }
    }

    public private(set) var bytes: [UInt8] = []

    public init() {}

    /// Appends a member with a PAX header where it needs one.
    public mutating func append(_ member: Member) {
        var records: [(String, [UInt8])] = member.attributes.sorted { $0.key < $1.key }.map {
            ("SCHILY.xattr.\($0.key)", $0.value)
        }
        if member.name.utf8.count > 100 { records.append(("path", Array(member.name.utf8))) }
        if member.linkName.utf8.count > 100 { records.append(("linkpath", Array(member.linkName.utf8))) }
        if member.owner > 0o7777777 { records.append(("uid", Array("\(member.owner)".utf8))) }
        if member.group > 0o7777777 { records.append(("gid", Array("\(member.group)".utf8))) }
        if member.nanoseconds > 0 {
            let fraction = String(member.nanoseconds + 1_000_000_000).dropFirst()
            records.append(("mtime", Array("\(member.modified).\(fraction)".utf8)))
        }
        if !records.isEmpty {
            let body = records.flatMap { Self.record($0.0, $0.1) }
            appendHeader("PaxHeader", type: "x", size: body.count)
            appendPadded(body)
        }
        appendHeader(
            member.name,
            type: member.type,
            size: member.claimedSize ?? member.contents.count,
            mode: member.mode,
            owner: member.owner > 0o7777777 ? 0 : member.owner,
            group: member.group > 0o7777777 ? 0 : member.group,
            modified: member.modified,
            linkName: member.linkName,
            device: member.device
        )
        appendPadded(member.contents)
    }

    public mutating func directory(_ name: String, mode: Int = 0o755, modified: Int = 0) {
        var member = Member(name)
        member.type = "5"
        member.mode = mode
        member.modified = modified
        append(member)
    }

    public mutating func file(
        _ name: String,
        _ contents: [UInt8] = [],
        mode: Int = 0o644,
        owner: Int = 0,
        modified: Int = 0
    ) {
        var member = Member(name)
        member.contents = contents
        member.mode = mode
        member.owner = owner
        member.modified = modified
        append(member)
    }

    /// `type` is "1" for a hard and "2" for a symbolic link.
    public mutating func link(_ name: String, to target: String, type: Character) {
        var member = Member(name)
        member.type = type
        member.linkName = target
        member.mode = 0o777
        append(member)
    }

    public mutating func appendRaw(_ more: [UInt8]) { bytes += more }

    /// The archive with the mark of its end.
    public func finished() -> [UInt8] { bytes + [UInt8](repeating: 0, count: 1024) }

    /// A member's header alone.
    public mutating func appendHeader(
        _ name: String,
        type: Character,
        size: Int,
        mode: Int = 0o644,
        owner: Int = 0,
        group: Int = 0,
        modified: Int = 0,
        linkName: String = "",
        device: (major: Int, minor: Int) = (0, 0)
    ) {
        var header = [UInt8](repeating: 0, count: 512)
        func put(_ text: String, at offset: Int, length: Int) {
            for (index, byte) in text.utf8.prefix(length).enumerated() { header[offset + index] = byte }
        }
        func put(_ number: Int, at offset: Int, digits: Int) {
            let text = String(number, radix: 8)
            put(String(repeating: "0", count: max(0, digits - text.count)) + text, at: offset, length: digits)
        }
        put(name, at: 0, length: 100)
        put(mode, at: 100, digits: 7)
        put(owner, at: 108, digits: 7)
        put(group, at: 116, digits: 7)
        put(size, at: 124, digits: 11)
        put(max(0, modified), at: 136, digits: 11)
        put("        ", at: 148, length: 8)
        put(String(type), at: 156, length: 1)
        put(linkName, at: 157, length: 100)
        put("ustar\u{0}00", at: 257, length: 8)
        put(device.major, at: 329, digits: 7)
        put(device.minor, at: 337, digits: 7)
        let sum = header.reduce(0) { $0 + Int($1) }
        put(sum, at: 148, digits: 6)
        header[154] = 0
        bytes += header
    }

    private mutating func appendPadded(_ contents: [UInt8]) {
        bytes += contents
        bytes += [UInt8](repeating: 0, count: (512 - contents.count % 512) % 512)
    }

    /// `length key=value\n`, where the length counts itself.
    static func record(_ key: String, _ value: [UInt8]) -> [UInt8] {
        let rest = Array(" \(key)=".utf8) + value + [10]
        var length = rest.count + 1
        while String(length).count + rest.count != length { length = String(length).count + rest.count }
        return Array(String(length).utf8) + rest
    }
}

/// The records of a PAX extended header (POSIX.1-2001): `length key=value\n`, as far as they matter here.
struct PAXRecords {
    private(set) var values: [[UInt8]: [UInt8]] = [:]

    private static let attributePrefix = Array("SCHILY.xattr.".utf8)

    /// - Throws: ``DecodingFailure``.
    init(_ bytes: [UInt8]) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            guard let blank = rest.prefix(21).firstIndex(of: 32), let length = TarNumber.parseDecimal(rest[..<blank]),
                length <= rest.count, Int(length) > blank - rest.startIndex + 2
            else { throw DecodingFailure("a PAX header is damaged") }
            let record = rest[(blank + 1)..<(rest.startIndex + Int(length))]
            guard record.last == 10, let equals = record.firstIndex(of: 61) else {
                throw DecodingFailure("a PAX header is damaged")
            }
            values[Array(record[..<equals])] = Array(record[(equals + 1)...].dropLast())
            rest = rest[record.endIndex...]
        }
    }

    init() {}

    var count: Int { values.count }

    /// Puts the records of another header over these; an empty value takes one back.
    mutating func merge(_ other: PAXRecords) {
        for (key, value) in other.values {
            values[key] = value.isEmpty && !key.starts(with: Self.attributePrefix) ? nil : value
        }
    }

    // Most members have no records: nothing is made or looked up for those.
    subscript(key: String) -> [UInt8]? { values.isEmpty ? nil : values[Array(key.utf8)] }

    var hasSparseFile: Bool {
        !values.isEmpty && values.keys.contains { $0.starts(with: "GNU.sparse.".utf8) }
    }

    func size() throws -> Int? {
        guard let text = self["size"] else { return nil }
        guard let size = TarNumber.parseDecimal(text[...]), size >= 0 else {
            throw DecodingFailure("a PAX header has a wrong size")
        }
        return Int(size)
    }

    /// Overrides what the header says.
    func apply(to entry: inout TarEntry) throws {
        guard !values.isEmpty else { return }
        if let text = self["uid"] { entry.owner = try identifier(text, entry) }
        if let text = self["gid"] { entry.group = try identifier(text, entry) }
        if let text = self["mtime"] {
            guard let time = TarNumber.parseTime(text[...]) else {
                throw DecodingFailure("the PAX header of \(entry.printableName) has a wrong time")
            }
            entry.modified = time
        }
        let attributes = values.filter { $0.key.starts(with: Self.attributePrefix) }
        entry.attributes = attributes.map { (Array($0.key.dropFirst(Self.attributePrefix.count)), $0.value) }
            .sorted { $0.name.isBytewiseBefore($1.name) }
    }

    private func identifier(_ text: [UInt8], _ entry: TarEntry) throws -> UInt32 {
        guard let number = TarNumber.parseDecimal(text[...]) else {
            throw DecodingFailure("the PAX header of \(entry.printableName) has a wrong owner")
        }
        return try TarHeader.identifier(number, of: entry)
    }
}

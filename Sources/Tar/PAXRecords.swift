/// The records of a PAX extended header (POSIX.1-2001): `length key=value\n`, as far as they matter here.
struct PAXRecords {
    private(set) var values: [[UInt8]: [UInt8]] = [:]

    private static let attributePrefix = Array("SCHILY.xattr.".utf8)
    private static let sparseMap = Array("GNU.sparse.map".utf8)
    private static let repeatedKeys = [Array("GNU.sparse.offset".utf8), Array("GNU.sparse.numbytes".utf8)]

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
            let (key, value) = (Array(record[..<equals]), Array(record[(equals + 1)...].dropLast()))
            if Self.repeatedKeys.contains(key) {
                // Sparse format 0.0 repeats these; 0.1 has them as one list.
                values[Self.sparseMap, default: []] += (values[Self.sparseMap] == nil ? [] : [44]) + value
            } else {
                values[key] = value
            }
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

    /// Whether the map of a sparse file stands before its contents: format 1.0.
    var hasMapInContents: Bool { self["GNU.sparse.major"] == [49] }

    /// The size of a sparse file with its holes.
    func sparseSize() throws -> Int64? {
        guard let text = self["GNU.sparse.realsize"] ?? self["GNU.sparse.size"] else { return nil }
        guard let size = TarNumber.parseDecimal(text[...]) else { throw SparseMap.damaged }
        return size
    }

    /// The map of a sparse file in formats 0.0 and 0.1.
    func sparseNumbers() throws -> [Int64] {
        try (values[Self.sparseMap] ?? []).split(separator: 44, omittingEmptySubsequences: false).map { text in
            guard let number = TarNumber.parseDecimal(text) else { throw SparseMap.damaged }
            return number
        }
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
        entry.attributes = attributes.map {
            (Self.attributeName($0.key.dropFirst(Self.attributePrefix.count)), $0.value)
        }
        .sorted { $0.name.isBytewiseBefore($1.name) }
    }

    /// A keyword cannot contain "=", so GNU tar writes that as %3D, and the percent sign as %25.
    static func attributeKeyword(_ name: [UInt8]) -> [UInt8] {
        guard name.contains(where: { $0 == 61 || $0 == 37 }) else { return attributePrefix + name }
        return attributePrefix + name.flatMap { $0 == 61 ? Array("%3D".utf8) : $0 == 37 ? Array("%25".utf8) : [$0] }
    }

    private static func attributeName(_ keyword: ArraySlice<UInt8>) -> [UInt8] {
        guard keyword.contains(37) else { return Array(keyword) }
        var name: [UInt8] = []
        var rest = keyword
        while let byte = rest.popFirst() {
            if byte == 37, rest.starts(with: "3D".utf8) || rest.starts(with: "25".utf8) {
                name.append(rest.first == 51 ? 61 : 37)
                rest = rest.dropFirst(2)
            } else {
                name.append(byte)
            }
        }
        return name
    }

    private func identifier(_ text: [UInt8], _ entry: TarEntry) throws -> UInt32 {
        guard let number = TarNumber.parseDecimal(text[...]) else {
            throw DecodingFailure("the PAX header of \(entry.printableName) has a wrong owner")
        }
        return try TarHeader.identifier(number, of: entry)
    }
}

/// The 512 bytes before each member, as POSIX.1-1988 (ustar) and GNU tar lay them out.
struct TarHeader {
    static let size = 512

    let bytes: [UInt8]

    /// - Throws: ``DecodingFailure`` if the checksum is wrong.
    init(_ bytes: [UInt8]) throws {
        self.bytes = bytes
        let sums = bytes.withUnsafeBufferPointer { Self.sums($0[..<148]) &+ Self.sums($0[156...]) }
        // The checksum field counts as blanks; old writers summed signed bytes.
        let unsigned = Int64(sums.x) + 8 * 32
        let signed = unsigned - Int64(sums.y) * 256
        let expected = TarNumber.parse(bytes[148..<156])
        guard expected == unsigned || expected == signed else {
            throw DecodingFailure("a tar header has a wrong checksum")
        }
    }

    /// The sum of the bytes, and how many of them are negative as signed ones: a loop that compiles to vectors.
    private static func sums(_ bytes: Slice<UnsafeBufferPointer<UInt8>>) -> SIMD2<UInt32> {
        var sum: UInt32 = 0
        var negative: UInt32 = 0
        for byte in UnsafeBufferPointer(rebasing: bytes) {
            sum &+= UInt32(byte)
            negative &+= UInt32(byte >> 7)
        }
        return SIMD2(sum, negative)
    }

    var typeFlag: UInt8 { bytes[156] }

    private var isUstar: Bool { bytes[257..<263].elementsEqual("ustar\0".utf8) }

    /// The name with ustar's prefix before it.
    var name: [UInt8] {
        let name = text(0..<100)
        let prefix = isUstar ? text(345..<500) : []
        return prefix.isEmpty ? name : prefix + [47] + name
    }

    var linkName: [UInt8] { text(157..<257) }

    private func text(_ range: Range<Int>) -> [UInt8] { Array(bytes[range].prefix { $0 != 0 }) }

    func size() throws -> Int {
        guard let size = TarNumber.parse(bytes[124..<136]), size >= 0 else {
            throw DecodingFailure("a tar header has a wrong size")
        }
        return Int(size)
    }

    /// Everything but kind, names and size.
    func fill(_ entry: inout TarEntry) throws {
        guard let mode = TarNumber.parse(bytes[100..<108]), let owner = TarNumber.parse(bytes[108..<116]),
            let group = TarNumber.parse(bytes[116..<124]), let modified = TarNumber.parse(bytes[136..<148])
        else { throw DecodingFailure("the header of \(entry.printableName) has a wrong number") }
        entry.mode = UInt16(truncatingIfNeeded: mode) & 0o7777
        entry.owner = try TarHeader.identifier(owner, of: entry)
        entry.group = try TarHeader.identifier(group, of: entry)
        entry.modified = FileTime(seconds: modified)
        guard entry.kind == .characterDevice || entry.kind == .blockDevice else { return }
        guard let major = TarNumber.parse(bytes[329..<337]), let minor = TarNumber.parse(bytes[337..<345]),
            (0..<1 << 12).contains(major), (0..<1 << 20).contains(minor)
        else { throw DecodingFailure("the device number of \(entry.printableName) is out of range") }
        entry.deviceMajor = UInt32(major)
        entry.deviceMinor = UInt32(minor)
    }

    static func identifier(_ number: Int64, of entry: TarEntry) throws -> UInt32 {
        guard let identifier = UInt32(exactly: number) else {
            throw DecodingFailure("the owner of \(entry.printableName) is out of range")
        }
        return identifier
    }
}

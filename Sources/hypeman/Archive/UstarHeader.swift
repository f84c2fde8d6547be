/// The header block of a tar entry (POSIX.1-2024, pax, "ustar Interchange Format").
enum UstarHeader {
    static let blockSize = 512

    /// A regular file's header.
    ///
    /// - Throws: If the name does not fit into the 100 bytes that need no prefix; an image layout's names do.
    static func file(name: String, size: Int) throws -> [UInt8] {
        guard name.utf8.count <= 100, !name.isEmpty else {
            throw CommandError("'\(name)' is too long a name for an image layout")
        }
        var block = [UInt8](repeating: 0, count: blockSize)
        func put(_ text: String, at offset: Int) {
            block.replaceSubrange(offset..<offset + text.utf8.count, with: text.utf8)
        }
        put(name, at: 0)
        put("0000644\0", at: 100)
        put("0000000\0", at: 108)
        put("0000000\0", at: 116)
        if size < 1 << 33 {
            put(octal(size, digits: 11) + "\0", at: 124)
        } else {
            // GNU's extension, which every reader knows: the high bit set, then the number in binary.
            block[124] = 0x80
            for index in 0..<8 { block[135 - index] = UInt8(truncatingIfNeeded: size >> (8 * index)) }
        }
        put(octal(0, digits: 11) + "\0", at: 136)
        put("        ", at: 148)
        put("0", at: 156)
        put("ustar\u{0}00", at: 257)
        let sum = block.reduce(0) { $0 + Int($1) }
        put(octal(sum, digits: 6) + "\0 ", at: 148)
        return block
    }

    /// The zeros after a file of `size` bytes.
    static func padding(after size: Int) -> Int { (blockSize - size % blockSize) % blockSize }

    private static func octal(_ number: Int, digits: Int) -> String {
        let text = String(number, radix: 8)
        return String(repeating: "0", count: max(0, digits - text.count)) + text
    }
}

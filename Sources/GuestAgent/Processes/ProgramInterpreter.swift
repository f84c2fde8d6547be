/// What a program needs to be run, read from its first bytes: for error messages only.
enum ProgramInterpreter {
    /// The interpreter of a script, or the dynamic loader of an ELF executable.
    static func name(ofProgramAt path: String) -> String? {
        SmallFile.read(path, limit: 4096).flatMap(name(inHead:))
    }

    /// Reads the first bytes of a file: `#!` (execve(2)) or an ELF header with a PT_INTERP segment (elf(5), 64 bits,
    /// little-endian).
    static func name(inHead head: [UInt8]) -> String? {
        if head.starts(with: "#!".utf8) {
            let line = head.dropFirst(2).prefix { $0 != 0x0A }.drop { $0 == 0x20 || $0 == 0x09 }
            let name = line.prefix { $0 != 0x20 && $0 != 0x09 }
            return name.isEmpty ? nil : String(decoding: name, as: UTF8.self)
        }
        guard head.count >= 64, head.starts(with: [0x7F, 0x45, 0x4C, 0x46, 2, 1]) else { return nil }
        func number(at offset: Int, size: Int) -> Int? {
            guard offset >= 0, offset <= head.count - size else { return nil }
            let value = (0..<size).reduce(UInt64(0)) { $0 | UInt64(head[offset + $1]) << UInt64(8 * $1) }
            return Int(exactly: value)
        }
        guard let table = number(at: 32, size: 8), let size = number(at: 54, size: 2),
            let count = number(at: 56, size: 2),
            table < head.count
        else { return nil }
        for index in 0..<count {
            let entry = table + index * size
            guard let kind = number(at: entry, size: 4) else { return nil }
            guard kind == 3 else { continue }
            guard let start = number(at: entry + 8, size: 8), let length = number(at: entry + 32, size: 8),
                start < head.count, length <= head.count - start
            else { return nil }
            return String(decoding: head[start..<(start + length)].prefix { $0 != 0 }, as: UTF8.self)
        }
        return nil
    }
}

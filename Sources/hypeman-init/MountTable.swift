import Glibc
import GuestAgent

/// What is mounted in this mount namespace, as proc(5) says in /proc/self/mountinfo.
enum MountTable {
    struct Entry {
        /// As `major:minor`.
        var device: String
        var path: String
        var type: String
    }

    /// All of it, in the order in which it was mounted.
    static func entries() -> [Entry] {
        (SmallFile.text("/proc/self/mountinfo", limit: 1 << 20) ?? "").split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ")
            // Optional fields stand before the hyphen, the type behind it.
            guard words.count > 6, let hyphen = words[6...].firstIndex(of: "-"), hyphen + 1 < words.count else {
                return nil
            }
            return Entry(device: String(words[2]), path: unescaped(words[4]), type: String(words[hyphen + 1]))
        }
    }

    /// Unmounts the disks beside the root, the last ones first, so that they are clean; nobody may use them any more.
    static func unmountDisks() {
        for entry in entries().reversed() where entry.path != "/" && (entry.type == "ext4" || entry.type == "overlay") {
            guard umount2(entry.path, 0) != 0 else { continue }
            Console.write("cannot unmount \(entry.path): \(String(cString: strerror(errno)))")
        }
    }

    /// Space, tab, line feed and backslash stand there as three octal digits.
    private static func unescaped(_ text: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            let digits = rest.prefix(3)
            if byte == 92, digits.count == 3, digits.allSatisfy({ (48...55).contains($0) }) {
                bytes.append(digits.reduce(0) { $0 &* 8 &+ ($1 - 48) })
                rest = rest.dropFirst(3)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

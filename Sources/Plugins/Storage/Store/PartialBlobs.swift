import AgentCore
import Glibc
import SystemPackage

/// The beginnings of blobs that a pull may go on with, and how long they are kept for that.
enum PartialBlobs {
    /// A pull that was not taken up again in this time is not expected back.
    private static let longestAge = 3 * 24 * 3600
    /// Of all of them, the newest first.
    private static let largestSize = 32 << 30
    private static let prefix = "partial-"

    static func name(_ digest: Digest) -> String { prefix + digest.hex }

    /// The digest of the blob that a file is the beginning of; nil for another file.
    static func digest(_ name: String) -> Digest? {
        name.hasPrefix(prefix) ? Digest(hex: String(name.dropFirst(prefix.count))) : nil
    }

    /// The names in a directory but for those that are worth keeping.
    static func expired(in directory: FilePath, now: time_t = time(nil)) throws -> [String] {
        var expired: [String] = []
        var parts: [(name: String, changed: time_t, bytes: Int)] = []
        for name in try Files.names(in: directory) {
            if digest(name) != nil, let status = try Files.status(directory.appending(name)),
                status.st_mode & S_IFMT == S_IFREG
            {
                parts.append((name, status.st_mtim.tv_sec, Int(status.st_blocks) * 512))
            } else {
                expired.append(name)
            }
        }
        var kept = 0
        for part in parts.sorted(by: { $0.changed > $1.changed }) {
            if now - part.changed <= longestAge, kept + part.bytes <= largestSize {
                kept += part.bytes
            } else {
                expired.append(part.name)
            }
        }
        return expired
    }
}

import CXattr
import Crypto
import Foundation
import Glibc
public import SystemPackage

/// Everything that can be seen of a directory tree, a line a path, so that two trees can be compared.
public struct TreeSnapshot: Sendable {
    /// What there is to say of each path, `/` being the root.
    public private(set) var lines: [String: String] = [:]

    /// Reads all of it.
    ///
    /// - Throws: `Errno` for what cannot be read.
    public init(of root: FilePath) throws {
        var firstNames: [UInt: String] = [:]
        try visit(root.string, name: "/", firstNames: &firstNames)
    }

    /// What differs, for a message.
    public func differences(from other: TreeSnapshot) -> [String] {
        Set(lines.keys).union(other.lines.keys).sorted().compactMap { name in
            lines[name] == other.lines[name]
                ? nil : "\(name): \(lines[name] ?? "missing") ≠ \(other.lines[name] ?? "missing")"
        }
    }

    private mutating func visit(_ path: String, name: String, firstNames: inout [UInt: String]) throws {
        var status = stat()
        guard lstat(path, &status) == 0 else { throw Errno(rawValue: errno) }
        let type = status.st_mode & S_IFMT
        var line = String(status.st_mode, radix: 8) + " \(status.st_uid):\(status.st_gid)"
        line += " \(status.st_mtim.tv_sec).\(status.st_mtim.tv_nsec) links \(status.st_nlink)"
        switch type {
        case S_IFREG:
            let hash = SHA256.hash(data: try Data(contentsOf: URL(filePath: path))).description.suffix(64)
            line += " size \(status.st_size) \(hash)"
        case S_IFLNK:
            var target = [UInt8](repeating: 0, count: 4096)
            let count = target.withUnsafeMutableBytes { buffer in
                buffer.baseAddress.map { readlink(path, $0.assumingMemoryBound(to: CChar.self), buffer.count) } ?? -1
            }
            line += " -> \(String(decoding: target.prefix(max(0, count)), as: UTF8.self))"
        case S_IFCHR, S_IFBLK: line += " device \(status.st_rdev)"
        default: break
        }
        if type != S_IFDIR {
            let first = firstNames[status.st_ino, default: name]
            firstNames[status.st_ino] = first
            line += " same as \(first)"
        }
        lines[name] = line + attributes(path)
        guard type == S_IFDIR else { return }
        for child in try FileManager.default.contentsOfDirectory(atPath: path).sorted() {
            try visit(path + "/" + child, name: (name == "/" ? "" : name) + "/" + child, firstNames: &firstNames)
        }
    }

    private func attributes(_ path: String) -> String {
        var names = [CChar](repeating: 0, count: 65536)
        let length = llistxattr(path, &names, names.count)
        guard length > 0 else { return "" }
        let list = names.prefix(length).split(separator: 0).map {
            String(decoding: $0.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
        return list.sorted().map { name in
            var value = [UInt8](repeating: 0, count: 65536)
            let count = lgetxattr(path, name, &value, value.count)
            return " \(name)=" + value.prefix(max(0, count)).map { String($0, radix: 16) }.joined(separator: ".")
        }.joined()
    }
}

/// Mounts a root disk with the host's kernel while `body` runs.
public func withMounted<T>(
    _ disk: FilePath,
    in scratch: Scratch,
    _ body: (FilePath) async throws -> T
) async throws -> T {
    let point = scratch.appending("mnt-\(UUID().uuidString)")
    try FileManager.default.createDirectory(atPath: point.string, withIntermediateDirectories: true)
    try await tool("mount", ["-t", "erofs", "-o", "loop,ro", disk.string, point.string])
    do {
        let result = try await body(point)
        try await tool("umount", [point.string])
        return result
    } catch {
        try await tool("umount", [point.string])
        throw error
    }
}

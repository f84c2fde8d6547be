import Foundation
import Glibc
public import SystemPackage

/// A directory for one test, removed with all that is in it.
///
/// Its path is short, so that sockets fit in it.
public struct Scratch: Sendable {
    public let path: FilePath

    /// Runs `body` with a fresh one.
    public static func with<T>(_ body: (Scratch) async throws -> T) async throws -> T {
        var template = Array("/tmp/hypeman-test-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw Errno(rawValue: errno) }
        let path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        defer { try? FileManager.default.removeItem(atPath: path) }
        return try await body(Scratch(path: FilePath(path)))
    }

    public func appending(_ name: String) -> FilePath { path.appending(name) }

    /// Writes a file into it.
    public func write(_ bytes: [UInt8], to name: String) throws -> FilePath {
        let path = appending(name)
        try Data(bytes).write(to: URL(filePath: path.string))
        return path
    }
}

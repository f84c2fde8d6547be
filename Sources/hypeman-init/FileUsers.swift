import Glibc
import GuestAgent

/// Who uses files below a path, for whoever has to be told.
enum FileUsers {
    /// As many as are named.
    private static let limit = 5
    private static let descriptors = 256

    /// Processes that have a file there open, or live there: `process 12 (postgres)`.
    static func of(_ path: String) -> [String] {
        var users: [String] = []
        for name in SmallFile.names(in: "/proc") where name.allSatisfy(\.isNumber) {
            let process = "/proc/\(name)"
            let links =
                ["cwd", "root", "exe"].map { "\(process)/\($0)" }
                + SmallFile.names(in: process + "/fd").prefix(descriptors).map { "\(process)/fd/\($0)" }
            guard links.contains(where: { isBelow(target(of: $0), path) }) else { continue }
            users.append("process \(name) (\(SmallFile.line(process + "/comm") ?? "?"))")
            if users.count == limit { break }
        }
        return users
    }

    private static func isBelow(_ file: String?, _ path: String) -> Bool {
        guard let file else { return false }
        return file == path || file.hasPrefix(path + "/")
    }

    private static func target(of link: String) -> String? {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink(link, &buffer, buffer.count)
        return count > 0 ? String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self) : nil
    }
}

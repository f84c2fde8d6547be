import AgentCore
import SystemPackage

/// The kernel's settings under /proc/sys; blocking, and where they belong to a network those of the thread's namespace.
enum Sysctl {
    /// - Returns: nil if there is no such setting.
    static func get(_ name: String) throws -> String? {
        do {
            let file = try FileDescriptor.open(FilePath("/proc/sys/\(name)"), .readOnly, options: .closeOnExec)
            return try file.closeAfter {
                var buffer = [UInt8](repeating: 0, count: 256)
                let count = try buffer.withUnsafeMutableBytes { try file.read(into: $0) }
                return String(decoding: buffer[..<count].prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
            }
        } catch Errno.noSuchFileOrDirectory {
            return nil
        }
    }

    /// Changes one that is there.
    ///
    /// - Returns: Whether it had to be changed.
    /// - Throws: `permissionDenied` without CAP_NET_ADMIN, or where /proc/sys is read-only, as in some containers.
    @discardableResult
    static func set(_ name: String, to value: String) throws -> Bool {
        guard let present = try get(name), present != value else { return false }
        do {
            let file = try FileDescriptor.open(FilePath("/proc/sys/\(name)"), .writeOnly, options: .closeOnExec)
            _ = try file.closeAfter { try file.writeAll(value.utf8) }
            return true
        } catch let error as Errno where [.permissionDenied, .notPermitted, .readOnlyFileSystem].contains(error) {
            throw AgentError(
                .permissionDenied,
                "the setting \(name) cannot be changed to \(value): the agent needs the capability CAP_NET_ADMIN, and "
                    + "/proc/sys/net that can be written",
                cause: error
            )
        }
    }
}

import AgentCore
import Glibc
import SystemPackage

/// What /proc says about processes (proc(5)).
///
/// Its calls block for microseconds.
enum ProcessTable {
    /// One line of /proc/pid/stat, as far as it is used.
    struct Status: Equatable {
        /// One letter: Z and X are dead processes.
        var state: Character
        /// User and system time in clock ticks.
        var cpuTicks: UInt64
        /// Clock ticks from the host's boot.
        var startTime: UInt64

        var isDead: Bool { state == "Z" || state == "X" }

        /// Reads the line.
        ///
        /// The second field is the program's name in parentheses, and the name may hold spaces and parentheses
        /// itself: what counts begins after the last one.
        init?(_ line: String) {
            guard let end = line.lastIndex(of: ")") else { return nil }
            let fields = line[line.index(after: end)...].split(separator: " ")
            // fields[0] is field 3 of proc(5).
            guard fields.count > 19, let state = fields[0].first, let user = UInt64(fields[11]),
                let system = UInt64(fields[12]), let startTime = UInt64(fields[19])
            else { return nil }
            self.state = state
            cpuTicks = user &+ system
            self.startTime = startTime
        }
    }

    /// The status of a process; nil if there is none with this number.
    static func status(of pid: Int32) -> Status? {
        guard let bytes = read("/proc/\(pid)/stat", limit: 4096) else { return nil }
        return Status(String(decoding: bytes, as: UTF8.self))
    }

    /// Virtual and resident size in bytes; nil if the process is gone.
    static func memory(of pid: Int32) -> (virtual: Int, resident: Int)? {
        guard let bytes = read("/proc/\(pid)/statm", limit: 4096) else { return nil }
        let fields = String(decoding: bytes, as: UTF8.self).split(separator: " ")
        guard fields.count > 1, let size = Int(fields[0]), let resident = Int(fields[1]) else { return nil }
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        return (size * page, resident * page)
    }

    /// The processes of this user that have `argument` among their arguments, exactly.
    ///
    /// Those of other users don't count: anyone can start a program with any argument.
    static func processes(withArgument argument: String) throws -> [Int32] {
        guard let directory = opendir("/proc") else {
            throw AgentError(.unavailable, "/proc cannot be read", cause: Errno(rawValue: errno))
        }
        defer { closedir(directory) }
        let own = getuid()
        var found: [Int32] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            guard let pid = Int32(name) else { continue }
            var information = stat()
            guard stat("/proc/\(pid)", &information) == 0, information.st_uid == own else { continue }
            if hasArgument(argument, process: pid) { found.append(pid) }
        }
        return found
    }

    /// Whether a process has `argument` among its arguments, exactly.
    static func hasArgument(_ argument: String, process pid: Int32) -> Bool {
        guard let line = read("/proc/\(pid)/cmdline", limit: 1 << 20) else { return false }
        return line.split(separator: 0).contains { $0.elementsEqual(argument.utf8) }
    }

    /// The host's boot id.
    static func bootID() throws -> String {
        guard let bytes = read("/proc/sys/kernel/random/boot_id", limit: 64) else {
            throw AgentError(.unavailable, "the host's boot id cannot be read from /proc/sys/kernel/random/boot_id")
        }
        return String(decoding: bytes.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
    }

    /// The first bytes of a file; nil if it cannot be read, which for /proc means that the process is gone.
    static func read(_ path: String, limit: Int) -> [UInt8]? {
        guard let file = try? FileDescriptor.open(FilePath(path), .readOnly, options: .closeOnExec) else { return nil }
        defer { try? file.close() }
        var bytes = [UInt8](repeating: 0, count: limit)
        var count = 0
        while count < limit {
            let got = try? bytes.withUnsafeMutableBytes { buffer in
                try file.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[count...]))
            }
            guard let got else { return nil }
            if got == 0 { break }
            count += got
        }
        return Array(bytes.prefix(count))
    }
}

import AgentCore
import Dispatch
import Foundation
import Glibc
import SystemPackage

/// Reads what this host has from the kernel.
struct LinuxHostProbe: HostProbe {
    /// On the file system that is measured.
    let dataDirectory: FilePath
    /// The interface that leads out; nil is that of the default route.
    let uplink: String?
    /// `/`, or a test's.
    var root: FilePath = "/"

    func capacity() async throws -> HostCapacity {
        // A file system on a network may keep statvfs(3) waiting.
        try await withCheckedThrowingContinuation { continuation in
            DispatchQueue.global().async { continuation.resume(with: Result { try read() }) }
        }
    }

    private func read() throws -> HostCapacity {
        HostCapacity(
            processors: max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))),
            memory: try memory(),
            disk: try disk(),
            uplink: linkSpeed()
        )
    }

    /// MemTotal of proc_meminfo(5).
    private func memory() throws -> ByteSize {
        let text = try contents(of: "proc/meminfo")
        for line in text.split(separator: "\n") where line.hasPrefix("MemTotal:") {
            let words = line.split(separator: " ")
            if words.count >= 2, let kibibytes = Int(words[1]) { return .kibibytes(kibibytes) }
        }
        throw AgentError(.unavailable, "/proc/meminfo does not say how much memory there is")
    }

    private func disk() throws -> ByteSize {
        var status = statvfs()
        guard statvfs(dataDirectory.string, &status) == 0 else {
            throw AgentError(
                .unavailable,
                "the file system of \(dataDirectory) cannot be measured",
                cause: Errno(rawValue: errno)
            )
        }
        return ByteSize(bytes: Int(status.f_blocks) * Int(status.f_frsize))
    }

    /// In Mbit/s in /sys/class/net/*/speed, which is -1 or cannot be read where there is none (sysfs-class-net).
    private func linkSpeed() -> BitRate? {
        guard let name = uplink ?? defaultInterface(), !name.contains("/"),
            let text = try? contents(of: FilePath("sys/class/net/\(name)/speed")),
            let megabits = Int(text.trimmingCharacters(in: .whitespacesAndNewlines)), megabits > 0
        else { return nil }
        return BitRate(bitsPerSecond: megabits * 1_000_000)
    }

    /// The interface of the IPv4 default route with the least metric, in /proc/net/route: the fields are interface,
    /// destination, gateway, flags, two unused ones, metric and mask.
    private func defaultInterface() -> String? {
        guard let text = try? contents(of: "proc/net/route") else { return nil }
        let routes = text.split(separator: "\n").dropFirst().compactMap { line -> (metric: Int, name: String)? in
            let fields = line.split(whereSeparator: \.isWhitespace)
            guard fields.count >= 8, fields[1] == "00000000", fields[7] == "00000000", let metric = Int(fields[6])
            else { return nil }
            return (metric, String(fields[0]))
        }
        return routes.min { $0.metric < $1.metric }?.name
    }

    private func contents(of path: FilePath) throws -> String {
        try String(contentsOfFile: root.pushing(path).string, encoding: .utf8)
    }
}

import Foundation

/// How much this process's resident memory has grown, at its highest, since a moment.
///
/// Other tests of the process may run beside the one that asks, so limits on it want a wide margin.
struct PeakMemory {
    private let before: Int

    /// Begins now: 5 resets the peak (proc(5)).
    init() throws {
        try "5".write(toFile: "/proc/self/clear_refs", atomically: false, encoding: .utf8)
        before = try Self.peak()
    }

    /// In bytes.
    func growth() throws -> Int { try Self.peak() - before }

    private static func peak() throws -> Int {
        let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
        let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
        return (line?.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) << 10
    }
}

import Foundation

/// The host's processor.
enum HostProcessor {
    /// What it calls itself (`model name` in proc_cpuinfo(5)); nil where the kernel does not say.
    static let model: String? = {
        guard let text = try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8) else { return nil }
        let line = text.split(separator: "\n", maxSplits: 64).first { $0.hasPrefix("model name") }
        return line?.split(separator: ":", maxSplits: 1).last.map { $0.trimmingCharacters(in: .whitespaces) }
    }()
}

import CInit
import GuestAgent

/// The kernel modules that the initrd carries, in an order in which each finds what it needs already loaded.
struct KernelModules {
    /// When a module is loaded.
    enum Stage: String {
        /// Before anything else.
        case boot
        /// If the channel to the host is a vsock.
        case vsock
        /// If there is a network to set up.
        case network
        /// Once the program runs.
        case later
    }

    private let entries: [(stage: Stage, path: String)]

    /// Reads /modules.list, which scripts/initrd.sh writes: a stage and a path relative to the initrd's root on each line.
    init() {
        entries = (SmallFile.text("/modules.list") ?? "").split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ", maxSplits: 1)
            guard words.count == 2, let stage = Stage(rawValue: String(words[0])) else { return nil }
            return (stage, String(words[1]))
        }
    }

    /// Loads the modules of a stage, those that are loaded already excepted.
    ///
    /// - Parameters:
    ///   - stage: Which ones.
    ///   - root: Where the initrd's root is now.
    /// - Throws: ``BootFailure`` that names the module.
    func load(_ stage: Stage, below root: String = "") throws(BootFailure) {
        for entry in entries where entry.stage == stage {
            try BootFailure.check(
                hypeman_load_module("\(root)/\(entry.path)"),
                "cannot load the kernel module \(entry.path)"
            )
        }
    }
}

import AgentCore
import Foundation
import SystemPackage

/// What every guest boots: a kernel, and an initrd that was built for it.
struct GuestFiles: Sendable, Hashable {
    let kernel: FilePath
    let initrd: FilePath

    /// Finds both: by their variables, else in the first directory that has them.
    ///
    /// - Throws: ``AgentError`` `unavailable` that says where was looked and how to make them.
    init(configuration: AgentConfiguration) throws(AgentError) {
        let directories = Self.directories(of: configuration)
        kernel = try Self.find(
            "kernel",
            configuration.kernel,
            variable: "KERNEL_PATH",
            names: ["vmlinux", "vmlinuz"],
            in: directories
        )
        initrd = try Self.find(
            "initrd",
            configuration.initrd,
            variable: "INITRD_PATH",
            names: ["initrd"],
            in: directories
        )
    }

    /// The packaged ones come last, so that an operator's own win.
    static func directories(of configuration: AgentConfiguration) -> [FilePath] {
        [configuration.dataDirectory.appending("system/kernel"), "/usr/lib/hypeman"]
    }

    private static func find(
        _ what: String,
        _ given: FilePath?,
        variable: String,
        names: [String],
        in directories: [FilePath]
    ) throws(AgentError) -> FilePath {
        if let given {
            guard FileManager.default.isReadableFile(atPath: given.string) else {
                throw AgentError(.unavailable, "\(variable) is \(given), which is not a readable file")
            }
            return given
        }
        for directory in directories {
            for name in names {
                let path = directory.appending(name)
                if FileManager.default.isReadableFile(atPath: path.string) { return path }
            }
        }
        let places = directories.map(\.string).joined(separator: " or ")
        throw AgentError(
            .unavailable,
            "no guest \(what): there is no \(names.joined(separator: " or ")) in \(places); "
                + "`make guest` builds one, and \(variable) names one that is elsewhere"
        )
    }
}

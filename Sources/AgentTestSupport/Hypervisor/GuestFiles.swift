import AgentCore
import Glibc
public import SystemPackage

/// The kernel and initrd that tests boot.
public struct GuestFiles: Sendable {
    /// An ELF kernel with a PVH entry.
    public let kernel: FilePath
    /// hypeman-init with its modules.
    public let initrd: FilePath

    /// The files in the directory that HYPEMAN_TEST_GUEST names, or where `make guest` puts them.
    ///
    /// - Throws: ``AgentError`` `unavailable` that says what is missing: a test fails then, it is not skipped.
    public static func find() throws -> GuestFiles {
        let configured = getenv("HYPEMAN_TEST_GUEST").map { FilePath(String(cString: $0)) }
        // Four names above this file is the package.
        let package = FilePath(#filePath).removingLastComponent().removingLastComponent().removingLastComponent()
            .removingLastComponent()
        let directory = configured ?? package.appending(".build/guest")
        let files = GuestFiles(kernel: directory.appending("kernel/vmlinux"), initrd: directory.appending("initrd"))
        guard access(files.kernel.string, R_OK) == 0 else {
            throw AgentError(
                .unavailable,
                "\(files.kernel) is not there: run `make guest`, or set HYPEMAN_TEST_GUEST to its directory"
            )
        }
        return files
    }
}

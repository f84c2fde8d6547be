import AgentCore
import Glibc
import SystemPackage

/// What a Cloud Hypervisor has in its machine's runtime directory.
struct CloudHypervisorFiles: Sendable {
    let directory: FilePath
    /// Control: REST.
    let api: FilePath
    /// The serial console.
    let console: FilePath
    /// The guest's vsock, as a unix socket.
    let vsock: FilePath
    /// What it reports by itself.
    let events: FilePath
    /// Leads to the kernel as long as the machine may boot; see ``CloudHypervisorConfig``.
    let kernel: FilePath
    /// A snapshot as a machine of these paths takes it up.
    let restore: FilePath
    /// What it says on stdout and stderr.
    let log: FilePath

    init(_ directory: FilePath) throws {
        self.directory = directory
        api = try SocketPath.make("api.sock", in: directory)
        console = try SocketPath.make("console.sock", in: directory)
        vsock = try SocketPath.make("vsock.sock", in: directory)
        events = directory.appending("events")
        kernel = directory.appending("kernel")
        restore = directory.appending("restore")
        log = directory.appending("vmm.log")
        // Its command line is read as `key=value,key=value` with quotes and brackets, and has no way to escape them.
        guard !directory.string.contains(where: { ",\"[]".contains($0) }) else {
            throw AgentError(
                .invalidArgument,
                code: "path_not_possible",
                "Cloud Hypervisor takes no path with a comma, quote or bracket such as \(directory): choose another "
                    + "runtime directory"
            )
        }
    }

    /// Everything but its log.
    ///
    /// It locks its sockets by files beside them.
    var temporary: [FilePath] {
        let sockets = [api, console, vsock]
        return sockets + sockets.map { FilePath($0.string + ".lock") } + [events, kernel]
    }

    /// Removes what a machine leaves but its log.
    func remove() {
        removeRestore()
        SocketPath.remove(temporary)
    }

    func removeRestore() {
        SocketPath.remove(CloudHypervisorSnapshot.fileNames.map { restore.appending($0) })
        // Not there, or for its owner to see.
        _ = rmdir(restore.string)
    }

    /// The last lines of its own words, for an error; nil if it said nothing.
    func lastWords() -> String? {
        guard let bytes = ProcessTable.read(log.string, limit: 64 << 10) else { return nil }
        let lines = String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isNewline).suffix(6)
        return lines.isEmpty ? nil : lines.joined(separator: "; ")
    }
}

import AgentCore
import Foundation
import Glibc
import SystemPackage

/// The agent's data directory, held by this agent alone.
final class DataDirectory: Sendable {
    let path: FilePath
    private let lock: FileDescriptor

    /// Makes the directories of the configuration and takes the lock that keeps a second agent out; the kernel gives it
    /// back when the process ends, however it ends (flock(2)).
    ///
    /// - Throws: ``AgentError``: `unavailable` if a directory cannot be made, `busy` if another agent has the lock.
    init(configuration: AgentConfiguration) throws {
        path = configuration.dataDirectory
        for directory in [configuration.dataDirectory, configuration.runtimeDirectory] {
            do {
                try FileManager.default.createDirectory(
                    atPath: directory.string,
                    withIntermediateDirectories: true,
                    attributes: [.posixPermissions: 0o711]
                )
            } catch {
                throw AgentError(.unavailable, "cannot make the directory \(directory)", cause: error)
            }
        }
        let file = path.appending("agent.lock")
        do {
            lock = try FileDescriptor.open(
                file,
                .readWrite,
                options: [.create, .closeOnExec, .noFollow],
                permissions: .ownerReadWrite
            )
        } catch {
            throw AgentError(.unavailable, "cannot open \(file); DATA_DIR must be writable", cause: error)
        }
        guard flock(lock.rawValue, LOCK_EX | LOCK_NB) == 0 else {
            try lock.close()
            throw AgentError(
                .busy,
                "another hypeman-agent uses \(configuration.dataDirectory); stop it, or set DATA_DIR to another directory"
            )
        }
    }

    /// Gives the lock back.
    func release() throws {
        // Closing alone would leave it with a child that is between its fork and its exec.
        _ = flock(lock.rawValue, LOCK_UN)
        try lock.close()
    }

    /// Where the state is.
    var database: FilePath { path.appending("state.db") }
}

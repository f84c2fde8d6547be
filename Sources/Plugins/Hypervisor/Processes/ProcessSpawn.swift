import AgentCore
import CLinux
import Glibc
import SystemPackage

/// How a process is started that is to have nothing of the agent's.
enum ProcessSpawn {
    /// Starts it and returns its number.
    ///
    /// Blocks until the program is executed.
    ///
    /// - Throws: ``AgentError`` `unavailable`.
    static func spawn(_ specification: ProcessSpecification) throws -> Int32 {
        let arguments = [specification.executable.string] + specification.arguments
        let environment = specification.environment.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        var pid: Int32 = 0
        let error = withCStrings(arguments) { arguments in
            withCStrings(environment) { environment in
                clinux_spawn(
                    &pid,
                    specification.executable.string,
                    arguments,
                    environment,
                    specification.workingDirectory.string,
                    specification.outputFile.string,
                    specification.capabilities.mask
                )
            }
        }
        guard error == 0 else {
            throw AgentError(
                .unavailable,
                code: "spawn_failed",
                "\(specification.executable) cannot be started in \(specification.workingDirectory) with its output in "
                    + "\(specification.outputFile)",
                cause: Errno(rawValue: error)
            )
        }
        return pid
    }

    /// Calls `body` with a null-terminated array of C strings.
    private static func withCStrings<Result>(
        _ strings: [String],
        _ body: ([UnsafeMutablePointer<CChar>?]) -> Result
    ) -> Result {
        let pointers = strings.map { strdup($0) }
        defer { for pointer in pointers { free(pointer) } }
        return body(pointers + [nil])
    }
}

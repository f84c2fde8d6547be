import AgentCore
import Glibc
import Subprocess
import SystemPackage

/// A VMM's program, as it is looked for and asked for its version.
struct VMMProgram: Sendable {
    /// The product's name, for messages.
    let product: String
    /// The file's name in PATH.
    let name: String
    /// What to do where there is none.
    let remedy: String

    /// The executable files among those that are configured; the one in PATH if none is configured.
    ///
    /// Blocks for a moment.
    ///
    /// - Throws: ``AgentError`` `unavailable` `hypervisor_not_found` if there is none.
    func locate(_ configured: [FilePath]) throws(AgentError) -> [FilePath] {
        let path = getenv("PATH").map { String(cString: $0) }
        let found =
            configured.isEmpty
            ? [ExecutableSearch.find(name, path: path)].compactMap(\.self)
            : configured.filter(ExecutableSearch.isExecutable)
        guard found.isEmpty else { return found }
        throw AgentError(
            .unavailable,
            code: "hypervisor_not_found",
            configured.first.map { "the configured \(product) \($0) is not executable" }
                ?? "\(name) is not in PATH: \(remedy)"
        )
    }

    /// Asks a program for its version.
    ///
    /// - Parameters:
    ///   - executable: The program.
    ///   - read: Reads its answer; nil for one that is something else's.
    /// - Returns: The version.
    /// - Throws: ``AgentError`` `unavailable`, `timeout`.
    func version<Version>(of executable: FilePath, _ read: (String) -> Version?) async throws -> Version {
        let output: String?
        do {
            output = try await withDeadline(.seconds(10), "\(executable) --version did not end within 10 seconds") {
                try await Subprocess.run(
                    .path(executable),
                    arguments: ["--version"],
                    output: .string(limit: 16 << 10),
                    error: .discarded
                ).standardOutput
            }
        } catch let error as AgentError {
            throw error
        } catch {
            throw AgentError(.unavailable, "\(executable) cannot be run", cause: error)
        }
        guard let version = read(output ?? "") else {
            throw AgentError(.unavailable, "\(executable) --version does not answer as \(product) does")
        }
        return version
    }
}

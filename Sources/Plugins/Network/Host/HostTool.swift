import AgentCore
import Subprocess

/// The programs of other packages that set up what netlink alone does not.
struct HostTool: Sendable {
    /// As it is called.
    let name: String
    /// The Debian package that it comes in.
    let package: String

    /// Far longer than any of them takes, even when another program holds the lock of the rules.
    private static let deadline = Duration.seconds(30)
    private static let outputLimit = 8 << 20
    /// Where tools are: sbin is not in every user's PATH.
    static let searchPath = "/usr/sbin:/usr/bin:/sbin:/bin"

    /// What a tool said.
    struct Result: Sendable {
        var isSuccess: Bool
        var output: String
        var errors: String
    }

    /// Runs it to its end; a tool that fails is not an error yet.
    ///
    /// - Parameters:
    ///   - arguments: Without the tool's name.
    ///   - input: Its stdin.
    ///   - network: Where.
    /// - Returns: How it ended, and what it wrote.
    /// - Throws: `unavailable` if it is not installed or does not end.
    func run(_ arguments: [String], input: String = "", in network: HostNetwork) async throws -> Result {
        let command = network.command(name, arguments)
        do {
            return try await withDeadline(Self.deadline, clock: ContinuousClock(), "\(name) \(arguments.first ?? "")") {
                let result = try await Subprocess.run(
                    .name(command.executable),
                    arguments: Arguments(command.arguments),
                    // Messages are read here.
                    environment: .custom(["PATH": Self.searchPath, "LC_ALL": "C"]),
                    input: .string(input),
                    output: .string(limit: Self.outputLimit),
                    error: .string(limit: Self.outputLimit)
                )
                return Result(
                    isSuccess: result.terminationStatus.isSuccess,
                    output: result.standardOutput,
                    errors: result.standardError
                )
            }
        } catch let error as SubprocessError {
            throw AgentError(
                .unavailable,
                code: "tool_missing",
                "\(name) cannot be run: is the package '\(package)' installed?",
                cause: error
            )
        }
    }
}

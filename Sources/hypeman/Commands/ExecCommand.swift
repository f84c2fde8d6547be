import AgentAPI
import ArgumentParser
import Foundation

struct ExecCommand: AgentCommand {
    static let configuration = CommandConfiguration(
        commandName: "exec",
        abstract: "Run a command in an instance.",
        usage: "hypeman exec [-i] [-t] [-e NAME=VALUE] [-w DIR] [-u USER] [--timeout TIME] INSTANCE COMMAND [ARG…]",
        discussion: "Ends with the command's exit code. A second ctrl-C leaves at once; the command is killed then."
    )
    static var failureStatus: Int32 { ExitStatus.ownFailure }

    @Flag(name: [.short, .long], help: "Pass stdin on to the command.")
    var interactive = false

    @Flag(name: [.short, .long], help: "Give the command a terminal.")
    var tty = false

    @Option(name: [.short, .long], help: "Set NAME=VALUE for the command; NAME alone takes the value from here.")
    var env: [String] = []

    @Option(name: [.customShort("w"), .customLong("workdir"), .customLong("cwd")], help: "Where the command starts.")
    var workdir: String?

    @Option(name: [.short, .long], help: "User, and group after a colon, by name or number.")
    var user: String?

    @Option(help: "Kill the command after this time, as 30s or 5m.")
    var timeout: String?

    @Option(help: "Wait this long for an instance that is still starting, as 30s.")
    var waitForAgent: String?

    @Argument(
        parsing: .captureForPassthrough,
        help: ArgumentHelp("The instance, the command and its arguments.", valueName: "instance> <command")
    )
    var words: [String] = []

    func validate() throws {
        try Words.check(words, subject: "instance", of: Self.self)
    }

    func perform() async throws -> Int32 {
        let body = try body()
        let endpoint = try Endpoint(environment: ProcessInfo.processInfo.environment)
        let connection = try await ExecConnection.open(
            endpoint,
            path: AgentClient.path(instance: words[0], "/exec"),
            whenLost: "the command was killed with it"
        )
        let terminal = try ExecTerminal(hasTerminal: tty, sendsInput: interactive)
        let end = try await terminal.whileAttached { try await connection.run(body, terminal) }
        guard case .outcome(let outcome) = end else { return 0 }
        return try Self.status(of: outcome)
    }

    /// What to send; separate for its test.
    func body(environment: [String: String] = ProcessInfo.processInfo.environment) throws -> ExecBody {
        var body = ExecBody(command: Words.command(words))
        guard !body.command.isEmpty else {
            throw CommandError("no command to run", remedy: "hypeman exec \(words[0]) COMMAND [ARG…]")
        }
        if tty {
            guard StandardStreams.isTerminal(STDIN_FILENO) else {
                throw CommandError("stdin is not a terminal", remedy: "leave -t out")
            }
            body.tty = true
            let size = TerminalMode.size(STDIN_FILENO)
            body.rows = size?.rows
            body.cols = size?.columns
        }
        body.stdin = interactive
        body.env = try EnvironmentOptions.merge(files: [], variables: tty ? ["TERM"] + env : env, own: environment)
        body.cwd = workdir
        body.user = user
        body.timeout = try Self.seconds(timeout, "--timeout")
        body.waitForAgent = try Self.seconds(waitForAgent, "--wait-for-agent")
        return body
    }

    static func status(of outcome: ExecOutcome) throws -> Int32 {
        guard outcome.type == "exit", let code = outcome.exitCode else {
            throw CommandError(outcome.message ?? "the command could not be run")
        }
        if let message = outcome.message { FileHandle.standardError.write(Data("hypeman: \(message)\n".utf8)) }
        return Int32(truncatingIfNeeded: code & 0xFF)
    }

    private static func seconds(_ text: String?, _ option: String) throws -> Int? {
        guard let text else { return nil }
        guard let duration = Int(text).map({ .seconds($0) }) ?? DurationText.parse(text), duration > .zero else {
            throw CommandError("\(option) '\(text)' is not a time", remedy: "write 30s or 5m")
        }
        return max(1, Int(duration.components.seconds))
    }
}

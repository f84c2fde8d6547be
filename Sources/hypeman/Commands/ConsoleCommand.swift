import AgentAPI
import ArgumentParser
import Foundation

struct ConsoleCommand: AgentCommand {
    static let configuration = CommandConfiguration(
        commandName: "console",
        abstract: "Follow an instance's serial console.",
        discussion: """
            Shows what the guest's kernel and early init wrote last and write from now on, until the instance stops. Nobody \
            in the guest reads the console: what is typed goes nowhere. On a terminal ctrl-P ctrl-Q or ctrl-C leaves.
            """
    )

    @Option(name: [.customShort("n"), .long], help: "How many lines to begin with: a number, or all.")
    var tail = "100"

    @Argument(help: "The instance.")
    var instance: String

    func validate() throws {
        guard tail == "all" || Int(tail).map({ $0 >= 0 }) == true else {
            throw ValidationError("--tail must be a number of lines, or 'all'.")
        }
    }

    func perform() async throws -> Int32 {
        let (instance, tail) = (instance, tail == "all" ? "-1" : tail)
        return try await AgentClient.with { client in
            let connection = try await ExecConnection.open(
                client.endpoint,
                path: AgentClient.path(instance: instance, "/console?tail=\(tail)"),
                whenLost: "the instance goes on: hypeman console \(instance)"
            )
            let isTerminal = StandardStreams.isTerminal(STDIN_FILENO)
            let terminal = try ExecTerminal(
                hasTerminal: isTerminal,
                sendsInput: isTerminal,
                outputHasReturns: false,
                forwardsSignals: false
            )
            let end = try await terminal.whileAttached {
                try await connection.run(
                    AttachBody(),
                    terminal,
                    detachKeys: isTerminal ? DetachKeys(includingInterrupt: true) : nil
                )
            }
            // How the program ended is not what was asked for, nor whether anybody knows.
            if case .outcome(let outcome) = end, outcome.type == "error", let code = outcome.code,
                !["unavailable", "log_not_found"].contains(code)
            {
                throw CommandError(outcome.message ?? code)
            }
            return 0
        }
    }
}

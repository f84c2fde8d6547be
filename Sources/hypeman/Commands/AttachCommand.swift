import AgentAPI
import ArgumentParser
import Foundation

struct AttachCommand: AgentCommand {
    static let configuration = CommandConfiguration(
        commandName: "attach",
        abstract: "Attach to the program of an instance that was made with run -i or -t.",
        discussion: """
            Shows what the program writes from now on and sends what is typed; ends with the program's exit code. On a \
            terminal ctrl-P ctrl-Q leaves, and the program goes on.
            """
    )
    static var failureStatus: Int32 { ExitStatus.ownFailure }

    @Flag(help: "Do not send stdin.")
    var noStdin = false

    @Argument(help: "The instance.")
    var instance: String

    func perform() async throws -> Int32 {
        let (instance, noStdin) = (instance, noStdin)
        return try await AgentClient.with { client in
            let found = try await client.instance(instance)
            let hasTerminal = found.tty == true
            let sendsInput = found.stdinOpen == true && !noStdin
            if hasTerminal, sendsInput, !StandardStreams.isTerminal(STDIN_FILENO) {
                throw CommandError(
                    "the program has a terminal, and stdin is none",
                    remedy: "attach from a terminal, or with --no-stdin"
                )
            }
            let program = AttachedProgram(
                endpoint: client.endpoint,
                instance: found.id,
                hasTerminal: hasTerminal,
                sendsInput: sendsInput
            )
            do {
                switch try await program.run(includesLog: false) {
                case .exited(let status): return status
                case .detached: return 0
                case .notRunning(let message): throw CommandError(message, remedy: "hypeman start \(instance)")
                }
            } catch let error as AgentRefusal where error.answer.code == "not_attachable" {
                throw error.commandError(remedy: "hypeman logs -f \(instance) shows what it writes")
            }
        }
    }
}

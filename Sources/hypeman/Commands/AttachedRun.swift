import AgentAPI
import Foundation

/// Shows a program's output from its start to its end, and passes a ctrl-C on as a stop.
struct AttachedRun: Sendable {
    let client: AgentClient
    let id: String

    private enum Event: Sendable {
        case ended
        case interrupted
    }

    /// - Returns: The program's exit code.
    func run() async throws -> Int32 {
        let printer = LogPrinter()
        let signals = Signals.stream([SIGINT, SIGTERM])
        return try await withThrowingTaskGroup(of: Event.self) { group in
            group.addTask {
                // The agent ends it when the instance is stopped, and all of the output is in it then.
                try await client.events(
                    AgentClient.path(instance: id, "/logs?format=record&tail=-1&follow=true"),
                    of: LogRecordResponse.self
                ) { record in
                    try await printer.print(record)
                    return true
                }
                return .ended
            }
            group.addTask {
                try await forward(signals)
                return .interrupted
            }
            defer { group.cancelAll() }
            guard case .ended? = try await group.next() else { return ExitStatus.interrupted }
            return try status(of: try await client.instance(id))
        }
    }

    /// The first signal stops the instance, the second one leaves it alone and ends this program.
    private func forward(_ signals: AsyncStream<Int32>) async throws {
        await withTaskGroup(of: Void.self) { group in
            var count = 0
            for await _ in signals {
                count += 1
                guard count == 1 else { break }
                FileHandle.standardError.write(Data("hypeman: stopping; once more to leave it\n".utf8))
                group.addTask {
                    do {
                        try await client.call(.post, AgentClient.path(instance: id, "/stop"), body: StopInstanceBody())
                    } catch is CancellationError {
                        return
                    } catch {
                        let reason = (error as? AgentRefusal)?.commandError().description ?? "\(error)"
                        FileHandle.standardError.write(Data("\(reason)\n".utf8))
                    }
                }
            }
            group.cancelAll()
        }
        try Task.checkCancellation()
    }

    private func status(of instance: InstanceResponse) throws -> Int32 {
        guard instance.state == "Stopped" else {
            throw CommandError(
                "the agent has ended the log although the instance is \(instance.state)",
                remedy: "hypeman logs -f \(id) shows what follows"
            )
        }
        guard let code = instance.exitCode else {
            throw CommandError(
                instance.exitMessage ?? instance.stateError
                    ?? "the instance stopped and nobody knows the program's exit code",
                remedy: "hypeman logs --source console \(id) shows the guest's console"
            )
        }
        if let message = instance.exitMessage { FileHandle.standardError.write(Data("hypeman: \(message)\n".utf8)) }
        return Int32(truncatingIfNeeded: code & 0xFF)
    }
}

import AgentAPI
import Foundation

/// Shows a program's output from its start to its end, and passes a ctrl-C on as a stop.
struct AttachedRun: Sendable {
    /// Without a new line for so long, a log whose last lines cannot be told from others is taken as complete.
    private static let patience = Duration.seconds(2)

    let client: AgentClient
    let id: String

    private enum Event: Sendable {
        case output
        case stopped(WaitResponse)
        case interrupted
    }

    /// - Returns: The program's exit code.
    func run() async throws -> Int32 {
        let printer = LogPrinter()
        let signals = Signals.stream([SIGINT, SIGTERM])
        return try await withThrowingTaskGroup(of: Event.self) { group in
            group.addTask {
                try await client.events(
                    AgentClient.path(instance: id, "/logs?format=record&tail=-1&follow=true"),
                    of: LogRecordResponse.self
                ) { record in
                    try await printer.print(record)
                    return true
                }
                return .output
            }
            group.addTask { .stopped(try await client.waitUntilStopped(id)) }
            group.addTask {
                try await forward(signals)
                return .interrupted
            }
            defer { group.cancelAll() }
            while let event = try await group.next() {
                switch event {
                case .output: continue
                case .interrupted: return ExitStatus.interrupted
                case .stopped(let answer):
                    try await finishOutput(printer)
                    return try status(of: answer)
                }
            }
            throw CommandError("the connection to the agent was lost", remedy: "hypeman logs \(id) shows what followed")
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

    /// The log is complete once the instance is stopped; what follows it may still be on its way here.
    private func finishOutput(_ printer: LogPrinter) async throws {
        guard let end = try await end() else { return }
        var last = await printer.position?.count
        var quiet = Duration.zero
        while await !printer.hasReached(end), quiet < Self.patience {
            try await Task.sleep(for: .milliseconds(20))
            let now = await printer.position?.count
            quiet = now == last ? quiet + .milliseconds(20) : .zero
            last = now
        }
    }

    /// The time of the log's last record, and how many have it; nil for an empty log.
    private func end() async throws -> (time: Date, count: Int)? {
        var window = 256
        while true {
            var total = 0
            var last: (time: Date, count: Int)?
            do {
                try await client.events(
                    AgentClient.path(instance: id, "/logs?format=record&tail=\(window)"),
                    of: LogRecordResponse.self
                ) { record in
                    total += 1
                    last = (record.time, record.time == last?.time ? (last?.count ?? 0) + 1 : 1)
                    return true
                }
            } catch let error as AgentRefusal where error.status == 404 {
                return nil
            }
            // Where all of them have one time, there may be more of it before them.
            guard let last, last.count == total, total >= window else { return last }
            window *= 32
        }
    }

    private func status(of answer: WaitResponse) throws -> Int32 {
        guard let code = answer.exitCode else {
            throw CommandError(
                answer.exitMessage ?? answer.stateError
                    ?? "the instance stopped and nobody knows the program's exit code",
                remedy: "hypeman logs --source console \(id) shows the guest's console"
            )
        }
        if let message = answer.exitMessage { FileHandle.standardError.write(Data("hypeman: \(message)\n".utf8)) }
        return Int32(truncatingIfNeeded: code & 0xFF)
    }
}

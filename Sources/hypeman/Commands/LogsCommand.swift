import AgentAPI
import ArgumentParser
import Foundation

struct LogsCommand: AgentCommand {
    static let configuration = CommandConfiguration(
        commandName: "logs",
        abstract: "Print an instance's log.",
        discussion: "What the program wrote to stderr goes to stderr."
    )

    enum Source: String, ExpressibleByArgument, CaseIterable {
        case app, console, vmm, hypeman
    }

    @Flag(name: [.short, .long], help: "Go on with new lines, until the instance stops.")
    var follow = false

    @Option(name: [.customShort("n"), .long], help: "Only the last lines: a number, or all.")
    var tail = "all"

    @Option(help: "The program (app), the guest's console, the VMM, or the agent (hypeman).")
    var source = Source.app

    @Flag(name: [.short, .long], help: "Begin each line with its time.")
    var timestamps = false

    @Argument(help: "The instance.")
    var instance: String

    func validate() throws {
        guard tail == "all" || Int(tail).map({ $0 >= 0 }) == true else {
            throw ValidationError("--tail must be a number of lines, or 'all'.")
        }
    }

    func perform() async throws -> Int32 {
        let query = "/logs?format=record&source=\(source.rawValue)&follow=\(follow)&tail=\(tail == "all" ? "-1" : tail)"
        let path = AgentClient.path(instance: instance, query)
        let timestamps = timestamps
        return try await AgentClient.with { client in
            let printer = LogPrinter(timestamps: timestamps)
            do {
                try await client.events(path, of: LogRecordResponse.self) { record in
                    try await printer.print(record)
                    return true
                }
            } catch let error as AgentRefusal where error.answer.code == "log_not_found" {
                // Nothing was written yet; docker prints nothing either.
                return 0
            }
            return 0
        }
    }
}

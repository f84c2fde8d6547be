import AgentAPI
import ArgumentParser
import Foundation

struct EventsCommand: AgentCommand {
    static let configuration = CommandConfiguration(
        commandName: "events",
        abstract: "Print what happens to instances, images and snapshots, as it happens.",
        discussion: "Ends with ctrl-C. Events are numbered; --after 0 begins with the oldest that is kept."
    )

    enum Format: String, ExpressibleByArgument, CaseIterable { case text, json }

    @Option(help: "Begin with the event after this one; without it with what happens from now on.")
    var after: Int?

    @Option(help: "How to print: text, or json with an object a line.")
    var format = Format.text

    func validate() throws {
        if let after, after < 0 { throw ValidationError("--after is the number of an event: 0 or more.") }
    }

    func perform() async throws -> Int32 {
        let (path, format) = ("/events" + (after.map { "?after=\($0)" } ?? ""), format)
        return try await AgentClient.with { client in
            try await client.events(path, of: EventResponse.self) { event in
                let line =
                    format == .text ? Self.text(event) : String(decoding: try APIJSON.encode(event), as: UTF8.self)
                try await StandardStreams.write(Array((line + "\n").utf8), to: STDOUT_FILENO)
                return true
            }
            return 0
        }
    }

    /// `12 2026-01-02T03:04:05Z instance.state web state=Running`; what has a name is called by it.
    static func text(_ event: EventResponse) -> String {
        var attributes = event.attributes
        let subject = attributes.removeValue(forKey: "name") ?? event.subject
        let words = attributes.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        let time = event.time.formatted(.iso8601)
        return (["\(event.sequence)", time, event.kind, subject] + words).joined(separator: " ")
    }
}

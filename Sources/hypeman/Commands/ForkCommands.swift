import AgentAPI
import ArgumentParser

/// What `fork` and `snapshot fork` share.
struct ForkOptions: ParsableArguments {
    @Option(help: "What becomes of it: Running, Standby or Stopped; what the source is without.")
    var target: ForkTarget?

    @Option(
        name: [.customShort("p"), .long],
        help: "Publish HOST:GUEST[/udp], a port of the host and one of the new instance."
    )
    var publish: [String] = []

    func validate() throws {
        for text in publish { _ = try NetworkOptions.port(text) }
    }

    func body(name: String, fromRunning: Bool? = nil) throws -> ForkInstanceBody {
        let ports = try publish.map(NetworkOptions.port)
        return ForkInstanceBody(
            name: name,
            fromRunning: fromRunning,
            targetState: target?.rawValue,
            ports: ports.isEmpty ? nil : ports
        )
    }
}

/// The states that a fork can have.
enum ForkTarget: String, ExpressibleByArgument, CaseIterable {
    case running = "Running"
    case standby = "Standby"
    case stopped = "Stopped"

    init?(argument: String) {
        guard let target = Self.allCases.first(where: { $0.rawValue.lowercased() == argument.lowercased() }) else {
            return nil
        }
        self = target
    }
}

struct ForkCommand: AgentCommand {
    static let configuration = CommandConfiguration(
        commandName: "fork",
        abstract: "Make a new instance that goes on where another is, and print its id.",
        discussion: """
            It has a copy of the other's memory, if there is one, and of its disk, and a name, an address and a log of its \
            own; published ports are not copied. What was connected to the other is not connected to it.
            """
    )

    @Flag(help: "Let an instance that runs stand still meanwhile.")
    var fromRunning = false

    @OptionGroup var options: ForkOptions

    @Argument(help: "The instance.")
    var instance: String

    @Argument(help: "The name of the new one.")
    var name: String

    func perform() async throws -> Int32 {
        let (instance, body) = (instance, try options.body(name: name, fromRunning: fromRunning ? true : nil))
        return try await AgentClient.with { client in
            let path = AgentClient.path(instance: instance, "/fork")
            print(try await client.call(.post, path, body: body, as: InstanceResponse.self).id)
            return 0
        }
    }
}

struct SnapshotForkCommand: AgentCommand {
    static let configuration = CommandConfiguration(
        commandName: "fork",
        abstract: "Make a new instance from a snapshot, and print its id."
    )

    @OptionGroup var options: ForkOptions

    @Argument(help: "The snapshot's id or name.")
    var snapshot: String

    @Argument(help: "The name of the new instance.")
    var name: String

    func perform() async throws -> Int32 {
        let (snapshot, body) = (snapshot, try options.body(name: name))
        return try await AgentClient.with { client in
            let path = AgentClient.path(snapshot: snapshot, "/fork")
            print(try await client.call(.post, path, body: body, as: InstanceResponse.self).id)
            return 0
        }
    }
}

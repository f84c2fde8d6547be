import AgentAPI
import ArgumentParser
import Foundation

struct PsCommand: AgentCommand {
    static let configuration = CommandConfiguration(commandName: "ps", abstract: "List instances.")

    @Flag(name: [.short, .long], help: "Also those that do not run.")
    var all = false

    @Flag(name: [.short, .long], help: "Print ids only.")
    var quiet = false

    @Option(help: "How to print: table, json or yaml.")
    var format = OutputFormat.table

    func perform() async throws -> Int32 {
        let (all, quiet, format) = (all, quiet, format)
        return try await AgentClient.with { client in
            let instances = try await client.call(.get, "/instances", as: [InstanceResponse].self)
                .filter { all || $0.state != "Stopped" || $0.nextRestartAt != nil }
            guard !quiet else {
                for instance in instances { print(instance.id) }
                return 0
            }
            try format.print(instances) {
                var table = Table("ID", "NAME", "IMAGE", "STATE", "EXIT", "IP", "PORTS", "CREATED")
                for instance in instances {
                    table.add(
                        String(instance.id.prefix(12)),
                        instance.name,
                        instance.image,
                        instance.nextRestartAt == nil ? instance.state : "Restarting",
                        instance.state == "Stopped" ? instance.exitCode.map(String.init) ?? "-" : "-",
                        instance.network.ip ?? "-",
                        instance.network.ports.map { $0.map(\.text).joined(separator: ", ") } ?? "-",
                        HumanText.age(of: instance.createdAt)
                    )
                }
                return table
            }
            return 0
        }
    }
}

struct StopCommand: AgentCommand {
    static let configuration = CommandConfiguration(commandName: "stop", abstract: "Stop instances.")

    @Option(
        name: [.short, .customLong("time"), .customLong("timeout")],
        help: "Seconds, or a time as 1m, that the program gets after its stop signal."
    )
    var time: String?

    @Argument(help: "The instances.")
    var instances: [String]

    func perform() async throws -> Int32 {
        let body = StopInstanceBody(timeout: time.map { Int($0) == nil ? $0 : "\($0)s" })
        let instances = instances
        return try await AgentClient.with { client in
            try await Each.perform(instances) { name in
                try await client.call(.post, AgentClient.path(instance: name, "/stop"), body: body)
            }
        }
    }
}

struct StartCommand: AgentCommand {
    static let configuration = CommandConfiguration(commandName: "start", abstract: "Start stopped instances.")

    @Argument(help: "The instances.")
    var instances: [String]

    func perform() async throws -> Int32 {
        let instances = instances
        return try await AgentClient.with { client in
            try await Each.perform(instances) { name in
                try await client.call(.post, AgentClient.path(instance: name, "/start"), body: StartInstanceBody())
            }
        }
    }
}

struct RmCommand: AgentCommand {
    static let configuration = CommandConfiguration(
        commandName: "rm",
        abstract: "Remove instances and their disks and logs."
    )

    @Flag(name: [.short, .long], help: "Also those that run; one that isn't there is no failure.")
    var force = false

    @Argument(help: "The instances.")
    var instances: [String]

    func perform() async throws -> Int32 {
        let (instances, force) = (instances, force)
        return try await AgentClient.with { client in
            try await Each.perform(instances) { name in
                do {
                    if !force {
                        let instance = try await client.instance(name)
                        guard ["Stopped", "Unknown", "Standby"].contains(instance.state) else {
                            throw AgentRefusal(
                                status: 409,
                                answer: ErrorResponse(
                                    code: "invalid_state",
                                    message:
                                        "instance \(instance.name) is \(instance.state): stop it first, or use rm -f"
                                )
                            )
                        }
                    }
                    try await client.call(.delete, AgentClient.path(instance: name))
                } catch let error as AgentRefusal where error.status == 404 && force {
                    return
                }
            }
        }
    }
}

struct InspectCommand: AgentCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect",
        abstract: "Print all that is known of instances or images."
    )

    @Option(help: "How to print: json or yaml.")
    var format = OutputFormat.json

    @Argument(help: "Instances, or images.")
    var names: [String]

    func perform() async throws -> Int32 {
        let (names, format) = (names, format)
        return try await AgentClient.with { client in
            var found: [JSONValue] = []
            for name in names { found.append(try await Self.find(name, client)) }
            switch format {
            case .yaml: print(try OutputFormat.yaml(found), terminator: "")
            case .json, .table: print(String(decoding: try APIJSON.encode(found, pretty: true), as: UTF8.self))
            }
            return 0
        }
    }

    /// An instance of that name, or else an image.
    private static func find(_ name: String, _ client: AgentClient) async throws -> JSONValue {
        do {
            return try await client.call(.get, AgentClient.path(instance: name), as: JSONValue.self)
        } catch let error as AgentRefusal where error.status == 404 {
            do {
                return try await client.call(.get, AgentClient.path(image: name), as: JSONValue.self)
            } catch let second as AgentRefusal where second.status == 404 || second.status == 400 {
                throw CommandError(
                    "there is no instance or image '\(name)'",
                    remedy: "hypeman ps -a and hypeman images list them"
                )
            }
        }
    }
}

struct WaitCommand: AgentCommand {
    static let configuration = CommandConfiguration(
        commandName: "wait",
        abstract: "Wait until instances stop, and print their programs' exit codes.",
        discussion: "With --for it is another state that is waited for, and nothing is printed."
    )
    static var failureStatus: Int32 { ExitStatus.ownFailure }
    private static let states = ["Running", "Paused", "Standby", "Stopped"]

    @Option(
        name: .customLong("for"),
        help: ArgumentHelp("Wait for this state: Running, Paused, Standby or Stopped.", valueName: "state")
    )
    var state: String?

    @Argument(help: "The instances.")
    var instances: [String]

    func validate() throws {
        guard let state, !Self.states.contains(where: { $0.lowercased() == state.lowercased() }) else { return }
        throw ValidationError("--for '\(state)' is not one of \(Self.states.joined(separator: ", ")).")
    }

    func perform() async throws -> Int32 {
        let state = state.flatMap { state in Self.states.first { $0.lowercased() == state.lowercased() } }
        let instances = instances
        return try await AgentClient.with { client in
            for name in instances {
                let answer = try await client.wait(name, for: state ?? "Stopped")
                guard let state else {
                    print(answer.exitCode.map(String.init) ?? "unknown")
                    continue
                }
                guard answer.state == state else {
                    throw CommandError(
                        "\(name) is \(answer.state), and does not come to \(state) by itself",
                        remedy: answer.stateError ?? "hypeman inspect \(name) says more"
                    )
                }
            }
            return 0
        }
    }
}

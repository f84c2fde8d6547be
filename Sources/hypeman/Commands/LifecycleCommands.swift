import AgentAPI
import ArgumentParser

struct PauseCommand: AgentCommand {
    static let configuration = CommandConfiguration(
        commandName: "pause",
        abstract: "Let instances stand still; their memory stays where it is."
    )

    @Argument(help: "The instances.")
    var instances: [String]

    func perform() async throws -> Int32 { try await Lifecycle.perform("pause", on: instances) }
}

struct ResumeCommand: AgentCommand {
    static let configuration = CommandConfiguration(
        commandName: "resume",
        abstract: "Let paused instances run on."
    )

    @Argument(help: "The instances.")
    var instances: [String]

    func perform() async throws -> Int32 { try await Lifecycle.perform("resume", on: instances) }
}

struct StandbyCommand: AgentCommand {
    static let configuration = CommandConfiguration(
        commandName: "standby",
        abstract: "Put the memory of instances on disk, and free what they take of the host."
    )

    @Argument(help: "The instances.")
    var instances: [String]

    func perform() async throws -> Int32 { try await Lifecycle.perform("standby", on: instances) }
}

struct RestoreCommand: AgentCommand {
    static let configuration = CommandConfiguration(
        commandName: "restore",
        abstract: "Let instances in standby run on where they were."
    )

    @Argument(help: "The instances.")
    var instances: [String]

    func perform() async throws -> Int32 { try await Lifecycle.perform("restore", on: instances) }
}

struct UpdateCommand: AgentCommand {
    static let configuration = CommandConfiguration(
        commandName: "update",
        abstract: "Change instances.",
        discussion: """
            Processors and memory change at once where an instance runs, within what `run --max-cpus` and \
            `--hotplug-size` made room for, and from its next start on where it is stopped.
            """
    )

    @Option(help: RestartOption.help)
    var restart: RestartOption?

    @Option(help: "Virtual processors.")
    var cpus: Int?

    @Option(name: [.short, .long], help: "Memory, as 2GB.")
    var memory: String?

    @Argument(help: "The instances.")
    var instances: [String]

    func validate() throws {
        guard restart != nil || cpus != nil || memory != nil else {
            throw ValidationError("nothing is to be changed: give --cpus, --memory or --restart.")
        }
    }

    func perform() async throws -> Int32 {
        let (instances, body) = (
            instances, UpdateInstanceBody(restartPolicy: restart?.body, vcpus: cpus, size: memory)
        )
        return try await AgentClient.with { client in
            try await Each.perform(instances) { name in
                try await client.call(.patch, AgentClient.path(instance: name), body: body)
            }
        }
    }
}

/// What the commands share that say one word to instances.
private enum Lifecycle {
    static func perform(_ word: String, on instances: [String]) async throws -> Int32 {
        try await AgentClient.with { client in
            try await Each.perform(instances) { name in
                try await client.call(.post, AgentClient.path(instance: name, "/\(word)"))
            }
        }
    }
}

/// When an instance is started again, as Docker's command line writes it: `on-failure:3`.
struct RestartOption: ExpressibleByArgument, Sendable, Hashable {
    static let help: ArgumentHelp = "When to start it again after its end: never, on-failure, on-failure:N or always."

    var body: RestartPolicyBody

    init?(argument: String) {
        let parts = argument.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        switch (parts[0], parts.count) {
        case ("no", 1), ("never", 1): body = RestartPolicyBody(policy: "never")
        // Whoever is stopped stays so here under every policy.
        case ("always", 1), ("unless-stopped", 1): body = RestartPolicyBody(policy: "always")
        case ("on-failure", 1): body = RestartPolicyBody(policy: "on_failure")
        case ("on-failure", 2):
            guard let attempts = Int(parts[1]), attempts > 0 else { return nil }
            body = RestartPolicyBody(policy: "on_failure", maximumAttempts: attempts)
        default: return nil
        }
    }
}

import AgentAPI
import ArgumentParser

struct HealthCommand: AgentCommand {
    static let configuration = CommandConfiguration(
        commandName: "health",
        abstract: "Ask the agent whether it is well."
    )

    func perform() async throws -> Int32 {
        try await AgentClient.with { client in
            print(try await client.call(.get, "/health", as: HealthResponse.self).status)
            return 0
        }
    }
}

struct VersionCommand: AgentCommand {
    static let configuration = CommandConfiguration(
        commandName: "version",
        abstract: "Print the releases of this program and of the agent."
    )

    @Flag(help: "This program's only; asks no agent.")
    var client = false

    func perform() async throws -> Int32 {
        print("hypeman \(Version.current)")
        guard !client else { return 0 }
        return try await AgentClient.with { client in
            let found = try await client.call(.get, "/capabilities", as: CapabilitiesResponse.self)
            print("hypeman-agent \(found.version) (\(found.platform))")
            for hypervisor in found.hypervisors {
                let reason = hypervisor.acceleratorReason.map { " (\($0))" } ?? ""
                print("\(hypervisor.name) \(hypervisor.version), \(hypervisor.accelerator)\(reason)")
            }
            return 0
        }
    }
}

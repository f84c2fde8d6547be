import AgentAPI
import ArgumentParser

struct ResourcesCommand: AgentCommand {
    static let configuration = CommandConfiguration(
        commandName: "resources",
        abstract: "Show what the host has, and what instances were promised of it.",
        discussion: "A network whose capacity is - has an uplink without a speed of its own: nothing bounds it."
    )

    @Option(help: "How to print: table, json or yaml.")
    var format = OutputFormat.table

    func perform() async throws -> Int32 {
        let format = format
        return try await AgentClient.with { client in
            let found = try await client.call(.get, "/resources", as: ResourcesResponse.self)
            try format.print(found) { Self.table(of: found) }
            guard case .table = format, !found.allocations.isEmpty else { return 0 }
            print()
            for line in Self.table(of: found.allocations).lines { print(line) }
            return 0
        }
    }

    /// A line a resource; separate for its test.
    static func table(of found: ResourcesResponse) -> Table {
        var table = Table("RESOURCE", "CAPACITY", "LIMIT", "PROMISED", "LEFT", "FROM")
        for status in [found.cpu, found.memory, found.disk, found.network] {
            let isKnown = status.source != "unknown"
            table.add(
                status.type,
                isKnown ? figure(status.capacity, status.type) : "-",
                isKnown ? figure(status.effectiveLimit, status.type) : "-",
                figure(status.allocated, status.type),
                isKnown ? figure(status.available, status.type) : "-",
                status.source ?? "-"
            )
        }
        return table
    }

    private static func table(of allocations: [ResourcesResponse.Allocation]) -> Table {
        var table = Table("INSTANCE", "CPUS", "MEMORY", "DISK", "DOWN", "UP")
        for allocation in allocations {
            table.add(
                allocation.instanceName,
                "\(allocation.cpu)",
                figure(allocation.memory, "memory"),
                figure(allocation.disk, "disk"),
                allocation.download.map { figure($0, "network") } ?? "-",
                allocation.upload.map { figure($0, "network") } ?? "-"
            )
        }
        return table
    }

    private static func figure(_ count: Int, _ type: String) -> String {
        switch type {
        case "cpu": "\(count)"
        // The API counts bytes; links are sold by bits.
        case "network": HumanText.bits(count.multipliedReportingOverflow(by: 8).partialValue)
        default: HumanText.bytes(count)
        }
    }
}

struct StatsCommand: AgentCommand {
    static let configuration = CommandConfiguration(
        commandName: "stats",
        abstract: "Show what instances have used since they were last started."
    )

    @Option(help: "How to print: table, json or yaml.")
    var format = OutputFormat.table

    @Argument(help: "The instances; those that run, if none is named.")
    var instances: [String] = []

    func perform() async throws -> Int32 {
        let (instances, format) = (instances, format)
        return try await AgentClient.with { client in
            var names = instances
            if names.isEmpty {
                names = try await client.call(.get, "/instances", as: [InstanceResponse].self)
                    .filter { $0.state != "Stopped" }.map(\.id)
            }
            var found: [InstanceStatsResponse] = []
            for name in names {
                do {
                    found.append(try await client.call(.get, AgentClient.path(instance: name, "/stats")))
                } catch let error as AgentRefusal where error.status == 404 && instances.isEmpty {
                    // Removed since the list was made.
                }
            }
            try format.print(found) { Self.table(of: found) }
            return 0
        }
    }

    private static func table(of found: [InstanceStatsResponse]) -> Table {
        var table = Table("NAME", "CPU SECONDS", "MEMORY", "OF", "RECEIVED", "SENT", "READ", "WRITTEN")
        for stats in found {
            table.add(
                stats.instanceName,
                "\((stats.cpuSeconds * 10).rounded() / 10)",
                HumanText.bytes(stats.residentMemory),
                HumanText.bytes(stats.allocatedMemory),
                HumanText.bytes(stats.receivedBytes),
                HumanText.bytes(stats.sentBytes),
                stats.diskReadBytes.map(HumanText.bytes) ?? "-",
                stats.diskWrittenBytes.map(HumanText.bytes) ?? "-"
            )
        }
        return table
    }
}

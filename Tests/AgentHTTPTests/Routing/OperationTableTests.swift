import AgentCore
import ArgumentParser
import HTTPTypes
import Testing

@testable import AgentHTTP
@testable import hypeman

/// The one table of operations, held against the routes and the command line.
@Suite struct OperationTableTests {
    @Test func everyRouteIsInTheTableAndTheOtherWayRound() async throws {
        try await TestServer.with { server in
            let routes = try AgentHTTPServer.routes(
                instances: server.instances,
                images: server.images,
                volumes: server.volumes,
                resources: ScriptedResources(),
                events: ScriptedEvents(),
                information: AgentInformation(version: "1", hypervisors: [], providesNetwork: false)
            )
            let missing = Set(UnimplementedRoutes.routes.map { "\($0.method.rawValue) \($0.path)" })
            var served: [String: Access] = [:]
            for route in routes {
                let name = "\(route.method.rawValue) \(route.path)"
                if !missing.contains(name) { served[name] = route.access }
            }
            var table: [String: Access] = [:]
            for row in AgentOperation.allCases.map(\.row) {
                guard let endpoint = row.http else { continue }
                table["\(endpoint.method) \(endpoint.path)"] = row.access
            }
            #expect(served == table)
        }
    }

    @Test func everyCommandIsInTheTableAndTheOtherWayRound() {
        let commands = Self.leaves(of: Hypeman.self, after: [])
        let table = Set(AgentOperation.allCases.compactMap(\.row.command))
        #expect(table.subtracting(commands) == [], "in the table and no command")
        // Other words for what is in the table.
        let synonyms: Set = [
            "load", "image ls", "image rm", "image pull", "image import", "image load", "image save", "system prune",
            "volume prune",
        ]
        #expect(commands.subtracting(table) == synonyms, "commands that the table does not have")
    }

    /// The words of every command that does something itself.
    private static func leaves(of command: any ParsableCommand.Type, after words: [String]) -> Set<String> {
        let below = command.configuration.subcommands
        guard !below.isEmpty else { return [words.joined(separator: " ")] }
        return below.reduce(into: []) { found, next in
            let name = next.configuration.commandName ?? String(describing: next)
            found.formUnion(leaves(of: next, after: words + [name]))
        }
    }

    @Test func whatNamesSomethingMayNotFindIt() {
        for operation in AgentOperation.allCases {
            guard let endpoint = operation.row.http, endpoint.path.contains("{") else { continue }
            #expect(operation.canFail(with: .notFound), "\(operation)")
        }
    }
}

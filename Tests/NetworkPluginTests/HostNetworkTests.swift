import AgentCore
import AgentTestSupport
import Foundation
import Testing

@testable import NetworkPlugin

@Suite struct HostNetworkTests {
    @Test func workRunsInsideTheNamespaceAndTheWayBackIsFound() async throws {
        try await TestNamespace.with { namespace in
            let inside = HostNetwork(namespace: namespace.name)
            let own = try await HostNetwork().run { try HostNetworkTests.interfaces() }
            try await namespace.run("ip", "link", "add", "marker0", "type", "bridge")
            #expect(try await inside.run { try HostNetworkTests.interfaces() }.contains("marker0"))
            #expect(try await HostNetwork().run { try HostNetworkTests.interfaces() } == own)
            let link = try await HostTool(name: "ip", package: "iproute2").run(["-br", "link"], in: inside)
            #expect(link.isSuccess && link.output.contains("marker0"))
        }
    }

    @Test func aNamespaceThatIsNotThereIsNamed() async throws {
        await #expect(throws: AgentError.self) { try await HostNetwork(namespace: "nobody").run {} }
    }

    private static func interfaces() throws -> Set<String> {
        let lines = try String(contentsOfFile: "/proc/thread-self/net/dev", encoding: .utf8).split(separator: "\n")
        return Set(lines.compactMap { $0.split(separator: ":").first.map { $0.filter { $0 != " " } } })
    }
}

import Foundation
import HTTPTypes
import Testing

@testable import AgentHTTP

/// The server does what openapi.yaml says, no more and no less.
///
/// Every JSON answer in these tests is held against it, too.
@Suite struct ContractTests {
    @Test func routesAndDocumentNameTheSameOperations() async throws {
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
            let served = Set(routes.map { "\($0.method.rawValue) \($0.path)" }).subtracting(missing)
            let described = Set(try Contract.published.get().operations.keys)
            #expect(served.subtracting(described) == [], "served and not described")
            #expect(described.subtracting(served) == [], "described and not served")
        }
    }

    @Test func anAnswerThatTheDocumentDoesNotAllowIsNoticed() throws {
        let contract = try Contract.published.get()
        try contract.check(method: "GET", path: "/health", status: 200, body: Data(#"{"status":"ok"}"#.utf8))
        for (path, status, body) in [
            ("/health", 200, #"{"status":"ok","mood":"fine"}"#), ("/health", 200, "{}"),
            ("/health", 200, #"{"status":7}"#),
            ("/health", 204, ""), ("/nothing", 200, "{}"), ("/images", 200, #"[{"name":"x"}]"#),
        ] {
            #expect(throws: (any Error).self, "\(path) \(status) \(body)") {
                try contract.check(method: "GET", path: path, status: status, body: Data(body.utf8))
            }
        }
    }
}

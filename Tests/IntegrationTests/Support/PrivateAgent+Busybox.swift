import AgentTestSupport
import SystemPackage
import Testing

extension PrivateAgent {
    /// An agent with an imported busybox, `busybox:1`.
    static func withBusybox(
        _ variables: [String: String] = [:],
        _ body: (PrivateAgent) async throws -> Void
    ) async throws {
        try await PrivateAgent.with(variables) { agent async throws in
            let tar = agent.scratch.appending("busybox.tar")
            try await TestImages.tar(try await TestImages.busyboxTree(in: agent.scratch), to: tar)
            try await agent.expect("import", tar.string, "busybox:1")
            try await body(agent)
        }
    }
}

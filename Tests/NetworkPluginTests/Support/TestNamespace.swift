import AgentTestSupport
import Foundation

@testable import NetworkPlugin

/// A network namespace of a test's own, and others around it that stand for the outside and for guests.
struct TestNamespace: Sendable {
    let name: String

    /// Runs `body` with a new, empty namespace whose loopback is up, and removes it afterwards.
    static func with<Value: Sendable>(_ body: (TestNamespace) async throws -> Value) async throws -> Value {
        let namespace = TestNamespace(name: "hyp-\(getpid())-\(UUID().uuidString.prefix(8).lowercased())")
        _ = try await tool("ip", ["netns", "add", namespace.name])
        do {
            try await namespace.run("ip", "link", "set", "lo", "up")
            let value = try await body(namespace)
            try await namespace.remove()
            return value
        } catch {
            try await namespace.remove()
            throw error
        }
    }

    /// Runs a tool inside, which must succeed.
    @discardableResult
    func run(_ arguments: String...) async throws -> String {
        try await tool("ip", ["netns", "exec", name] + arguments)
    }

    private func remove() async throws {
        _ = try await tool("ip", ["netns", "del", name])
    }
}

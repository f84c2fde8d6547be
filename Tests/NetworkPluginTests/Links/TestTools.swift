import AgentCore
import AgentTestSupport
import Testing

@testable import NetworkPlugin

enum TestTools {
    static func ip(_ arguments: [String], in namespace: TestNamespace) async throws -> String {
        try await tool("ip", ["-n", namespace.name] + arguments)
    }

    static func run(_ arguments: [String], in namespace: TestNamespace) async throws -> String {
        try await tool("ip", ["netns", "exec", namespace.name] + arguments)
    }
}

/// Expects an ``AgentError`` with a code.
@discardableResult
func expect<Value>(
    code: String,
    sourceLocation: Testing.SourceLocation = #_sourceLocation,
    _ body: () async throws -> Value
) async -> AgentError? {
    do {
        _ = try await body()
        Issue.record("no error, where \(code) was expected", sourceLocation: sourceLocation)
    } catch let error as AgentError where error.code == code {
        return error
    } catch {
        Issue.record("\(error), where \(code) was expected", sourceLocation: sourceLocation)
    }
    return nil
}

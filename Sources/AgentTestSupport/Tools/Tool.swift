import Subprocess
public import SystemPackage

/// A program that a test needs did not do its work.
public struct ToolFailure: Error, CustomStringConvertible {
    public let description: String

    public init(description: String) { self.description = description }
}

/// Runs a program that must succeed, and returns what it wrote to stdout.
///
/// - Parameters:
///   - name: Searched in PATH.
///   - arguments: Without the name.
///   - directory: Where it works.
///   - codes: The exit codes that are a success.
/// - Returns: Its output.
/// - Throws: ``ToolFailure`` with what it wrote.
@discardableResult
public func tool(
    _ name: String,
    _ arguments: [String],
    in directory: FilePath? = nil,
    accepting codes: Set<Int32> = [0]
) async throws -> String {
    let result = try await run(
        .name(name),
        arguments: Arguments(arguments),
        workingDirectory: directory,
        output: .string(limit: 1 << 20),
        error: .string(limit: 1 << 20)
    )
    guard case .exited(let code) = result.terminationStatus, codes.contains(code) else {
        throw ToolFailure(
            description:
                "\(name) \(arguments): \(result.terminationStatus) \(result.standardError)\(result.standardOutput)"
        )
    }
    return result.standardOutput
}

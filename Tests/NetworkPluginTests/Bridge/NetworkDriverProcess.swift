import AgentTestSupport
import Foundation
import Glibc
import SystemPackage

/// A process of `network-driver`, which attaches and detaches as it is told, inside a namespace.
final class NetworkDriverProcess: Sendable {
    private let process = Process()
    private let input = Pipe()
    private let output = Pipe()
    /// Reading blocks.
    private let queue = DispatchQueue(label: "test.network-driver")
    private let exited: AsyncStream<Void>

    /// Starts one; what it logs goes to a file in the directory.
    init(in namespace: TestNamespace, directory: FilePath) throws {
        process.executableURL = URL(fileURLWithPath: "/usr/sbin/ip")
        // Executed in place: the process is the driver's.
        process.arguments = [
            "netns", "exec", namespace.name, BuiltProgram.path("network-driver").string, directory.string,
        ]
        process.standardInput = input
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        let (exited, exit) = AsyncStream.makeStream(of: Void.self)
        self.exited = exited
        process.terminationHandler = { _ in exit.finish() }
        try process.run()
    }

    /// Tells it something that must succeed, and waits until it is done.
    ///
    /// - Returns: How long that took.
    @discardableResult
    func perform(_ command: String) async throws -> Duration {
        let began = ContinuousClock.now
        try await begin(command)
        while true {
            let line = try await line()
            if line == "done" { return began.duration(to: .now) }
            guard line == "attaching" else { throw ToolFailure(description: "\(command): '\(line)'") }
        }
    }

    /// Tells it something.
    func begin(_ command: String) async throws {
        try input.fileHandleForWriting.write(contentsOf: Data("\(command)\n".utf8))
    }

    /// Its next line; empty when it has ended.
    func line() async throws -> String {
        try await withCheckedThrowingContinuation { continuation in
            queue.async { [output] in
                continuation.resume(
                    with: Result {
                        var line = Data()
                        while let byte = try output.fileHandleForReading.read(upToCount: 1), !byte.isEmpty {
                            if byte[byte.startIndex] == UInt8(ascii: "\n") { break }
                            line += byte
                        }
                        return String(decoding: line, as: UTF8.self)
                    }
                )
            }
        }
    }

    /// Kills it, wherever it is, and waits for its end.
    func kill() async {
        Glibc.kill(process.processIdentifier, SIGKILL)
        for await _ in exited {}
    }

    /// Lets it end by itself.
    func end() async throws {
        try input.fileHandleForWriting.close()
        for await _ in exited {}
    }
}

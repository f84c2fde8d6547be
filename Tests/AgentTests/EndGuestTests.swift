import AgentCore
import AgentTestSupport
import Foundation
import Glibc
import Subprocess
import SystemPackage
import Testing

/// What the unit of a VM runs when it stops.
@Suite struct EndGuestTests {
    /// Runs the program for a VMM; what it says, and whether it succeeds.
    private func endGuest(_ vmm: String, _ scratch: Scratch) async throws -> (hasEnded: Bool, text: String) {
        let result = try await run(
            .path(BuiltProgram.path("hypeman-agent")),
            arguments: ["end-guest", "--within", "20", InstanceID.random().rawValue, vmm],
            environment: .inherit.updating([
                "RUNTIME_DIR": scratch.path.string, "DATA_DIR": scratch.appending("data").string,
            ]),
            output: .string(limit: 4096),
            error: .combinedWithOutput
        )
        return (result.terminationStatus.isSuccess, result.standardOutput)
    }

    /// The agent answers when the unit is over, which waits for this program.
    @Test func itIsDoneWithTheEndOfTheVMMThoughTheAgentHasNotAnswered() async throws {
        try await Scratch.with { scratch in
            let agent = try SilentListener(at: scratch.appending("agent.sock").string)
            let vmm = Process()
            vmm.executableURL = URL(filePath: "/bin/sleep")
            vmm.arguments = ["30"]
            vmm.standardOutput = FileHandle.nullDevice
            vmm.standardError = FileHandle.nullDevice
            try vmm.run()
            async let ending = endGuest("\(vmm.processIdentifier)", scratch)
            let request = try await agent.request()
            #expect(request.hasPrefix("POST /instances/") && request.contains(#""host_shutdown": true"#), "\(request)")
            kill(vmm.processIdentifier, SIGKILL)
            let (hasEnded, text) = try await ending
            #expect(hasEnded, "\(text)")

            // It has gone: there is nothing to ask for.
            let again = try await endGuest("\(vmm.processIdentifier)", scratch)
            #expect(again.hasEnded, "\(again.text)")
        }
    }

    @Test func anAgentThatIsNotThereIsNamed() async throws {
        try await Scratch.with { scratch in
            let (hasEnded, text) = try await endGuest("\(getpid())", scratch)
            #expect(!hasEnded && text.contains("agent.sock cannot be reached"), "\(text)")
        }
    }
}

/// Takes one connection on a Unix socket, and says nothing.
private final class SilentListener: Sendable {
    private let listener: UnixListener

    init(at path: String) throws { listener = try UnixListener(at: path) }

    /// What was asked; the connection stays open, as its end would be an answer.
    func request() async throws -> String {
        try await withCheckedThrowingContinuation { continuation in
            DispatchQueue.global().async { [listener] in
                var waiting = pollfd(fd: listener.descriptor, events: Int16(POLLIN), revents: 0)
                guard poll(&waiting, 1, 20_000) == 1 else {
                    return continuation.resume(throwing: ToolFailure(description: "nobody asks the agent"))
                }
                let connection = accept(listener.descriptor, nil, nil)
                var buffer = [UInt8](repeating: 0, count: 4096)
                let count = recv(connection, &buffer, buffer.count, 0)
                guard count > 0 else { return continuation.resume(throwing: Errno(rawValue: errno)) }
                continuation.resume(returning: String(decoding: buffer.prefix(count), as: UTF8.self))
            }
        }
    }
}

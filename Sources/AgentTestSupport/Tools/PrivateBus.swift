import Foundation
import Glibc
import SystemPackage

/// A `dbus-daemon` of a test's own, which can go away and come back at the same address.
public final class PrivateBus: Sendable {
    /// As in `DBUS_SYSTEM_BUS_ADDRESS`.
    public let address: String
    private let configuration: FilePath
    private let directory: FilePath
    /// Reading blocks.
    private let queue = DispatchQueue(label: "test.dbus-daemon")
    /// Touched between the awaits of one test alone.
    private nonisolated(unsafe) var daemon: (process: Process, exited: AsyncStream<Void>)?

    /// Runs `body` with a bus.
    ///
    /// - Parameters:
    ///   - policy: More of the bus's configuration, after a policy that allows everything: elements `policy`, `limit` and
    ///     `include`.
    ///   - body: What is done with it.
    /// - Returns: What `body` does.
    /// - Throws: What `body` does, and if there is no `dbus-daemon`.
    public static func with<Value: Sendable>(
        policy: String = "",
        _ body: (PrivateBus) async throws -> Value
    ) async throws -> Value {
        try await Scratch.with { scratch in
            let bus = try PrivateBus(scratch, policy: policy)
            do {
                try await bus.start()
                let value = try await body(bus)
                await bus.stop()
                return value
            } catch {
                await bus.stop()
                throw error
            }
        }
    }

    private init(_ scratch: Scratch, policy: String) throws {
        // Other users of the machine's are to reach it, where a test says so.
        chmod(scratch.path.string, 0o755)
        directory = scratch.path
        address = "unix:path=\(scratch.appending("bus"))"
        let text = """
            <!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
             "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
            <busconfig>
              <type>system</type>
              <listen>\(address)</listen>
              <auth>EXTERNAL</auth>
              <policy context="default">
                <allow user="*"/>
                <allow own="*"/>
                <allow send_type="method_call"/>
                <allow send_type="signal"/>
                <allow send_requested_reply="true" send_type="method_return"/>
                <allow send_requested_reply="true" send_type="error"/>
                <allow receive_type="method_call"/>
                <allow receive_type="method_return"/>
                <allow receive_type="error"/>
                <allow receive_type="signal"/>
              </policy>
              \(policy)
            </busconfig>

            """
        configuration = try scratch.write(Array(text.utf8), to: "bus.conf")
    }

    /// Starts it; returns when it listens.
    public func start() async throws {
        let (process, output) = (Process(), Pipe())
        process.executableURL = URL(fileURLWithPath: "/usr/bin/dbus-daemon")
        process.arguments = ["--config-file=\(configuration)", "--nofork", "--nopidfile", "--print-address=1"]
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        let (exited, exit) = AsyncStream.makeStream(of: Void.self)
        process.terminationHandler = { _ in exit.finish() }
        try process.run()
        daemon = (process, exited)
        let line = try await withCheckedThrowingContinuation { continuation in
            queue.async {
                continuation.resume(with: Result { try output.fileHandleForReading.read(upToCount: 1) ?? Data() })
            }
        }
        guard !line.isEmpty else { throw ToolFailure(description: "dbus-daemon does not start") }
    }

    /// Kills it and waits for its end.
    public func stop() async {
        guard let (process, exited) = daemon else { return }
        daemon = nil
        kill(process.processIdentifier, SIGKILL)
        for await _ in exited {}
        unlink(directory.appending("bus").string)
    }

    /// Lets it stand still, as a bus that is overloaded, or go on.
    public func signal(_ number: Int32) {
        guard let process = daemon?.process else { return }
        kill(process.processIdentifier, number)
    }

    /// Runs `busctl` on it, which must succeed.
    @discardableResult
    public func busctl(_ arguments: String...) async throws -> String {
        try await tool("busctl", ["--address=\(address)"] + arguments)
    }

    /// Runs `busctl`, which must fail.
    ///
    /// - Returns: What it says.
    public func busctlFailure(_ arguments: String...) async throws -> String {
        do {
            let output = try await tool("busctl", ["--address=\(address)"] + arguments)
            throw ToolFailure(description: "busctl \(arguments) succeeded: \(output)")
        } catch let error as ToolFailure where !error.description.contains("succeeded") {
            return error.description
        }
    }

    /// Runs `gdbus` on it, which must succeed.
    @discardableResult
    public func gdbus(_ command: String, _ arguments: String...) async throws -> String {
        // With --address it would not say hello, as one does to a bus.
        try await tool("env", ["DBUS_SESSION_BUS_ADDRESS=\(address)", "gdbus", command, "--session"] + arguments)
    }
}

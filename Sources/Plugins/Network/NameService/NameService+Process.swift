import AgentCore
import Foundation
import Glibc
import Logging
import SystemPackage

extension NameService {
    /// Starts a dnsmasq, and returns when it answers.
    ///
    /// - Throws: `unavailable` with its last words; then it is gone. One that is cancelled leaves it: the mark leads to it.
    func launch(_ wanted: NameServiceConfiguration) async throws -> Running {
        try await files.write(wanted)
        let dnsmasq = try Self.find("dnsmasq", package: Self.dnsmasq.package)
        let command = network.command(dnsmasq.string, wanted.arguments)
        let executable = command.executable == dnsmasq.string ? dnsmasq : try Self.find("ip", package: "iproute2")
        let process = try await supervisor.start(
            ProcessSpecification(
                executable: executable,
                arguments: command.arguments,
                environment: ["LC_ALL": "C", "PATH": HostTool.searchPath],
                workingDirectory: "/",
                outputFile: files.paths.log,
                mark: wanted.mark,
                capabilities: capabilities,
                // Tests alone have one in a namespace of its own.
                unit: network.namespace == nil ? .nameService(bridge: configuration.bridge) : nil
            )
        )
        guard await answers(unlessEnded: process) else {
            try Task.checkCancellation()
            let words = await files.lastLines()
            try await end(process)
            throw AgentError(
                .unavailable,
                code: "name_service_failed",
                "dnsmasq does not answer on \(configuration.gateway), \(configuration.bridge); it said: \(words)"
            )
        }
        logger.info(
            "dnsmasq started",
            metadata: ["pid": "\(process.identity.pid)", "bridge": "\(configuration.bridge)"]
        )
        return Running(process: process, configuration: wanted)
    }

    /// Ends a process, by force if it must be.
    func end(_ process: any SupervisedProcess) async throws {
        process.signal(SIGTERM)
        do {
            _ = try await withDeadline(Self.patience, clock: clock, "dnsmasq's end") { try await process.waitForExit() }
        } catch let error as AgentError where error.kind == .timeout {
            logger.warning("dnsmasq is killed, it did not end", metadata: ["pid": "\(process.identity.pid)"])
            process.signal(SIGKILL)
            _ = try await withDeadline(Self.patience, clock: clock, "dnsmasq's end after SIGKILL") {
                try await process.waitForExit()
            }
        }
    }

    /// Whether somebody answers on the bridge within the time that it may take; a process that ends meanwhile doesn't.
    func answers(unlessEnded process: (any SupervisedProcess)? = nil) async -> Bool {
        let probe = NameServiceProbe(address: configuration.gateway, network: network)
        let clock = clock
        return await withTaskGroup(of: Bool.self) { group in
            group.addTask {
                do {
                    try await withDeadline(Self.patience, clock: clock, "an answer") { try await probe.waitForAnswer() }
                    return true
                } catch {
                    return false
                }
            }
            if let process {
                group.addTask {
                    // Ended or cancelled: either way there will be no answer.
                    _ = try? await process.waitForExit()
                    return false
                }
            }
            defer { group.cancelAll() }
            return await group.next() ?? false
        }
    }

    /// What dnsmasq needs of root's rights: to serve DHCP (it fills the neighbour table) and to bind ports below 1024.
    ///
    /// As root it also gives up its groups. The tool that enters a namespace needs far more, but tests alone use it.
    private var capabilities: Set<ProcessCapability> {
        let own: Set<ProcessCapability> = [.networkAdministration, .privilegedPorts, .groups]
        return network.namespace == nil ? own : own.union([.systemAdministration])
    }

    private static func find(_ name: String, package: String) throws -> FilePath {
        let paths = HostTool.searchPath.split(separator: ":").map { FilePath(String($0)).appending(name) }
        guard let found = paths.first(where: { FileManager.default.isExecutableFile(atPath: $0.string) }) else {
            throw AgentError(
                .unavailable,
                code: "tool_missing",
                "\(name) is not installed: install the package '\(package)'"
            )
        }
        return found
    }
}

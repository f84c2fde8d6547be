import AgentCore
import Foundation
import HypervisorPlugin
import Logging
import NetworkPlugin
import SystemPackage

/// The bridge network without an agent and without VMs, in the network namespace that it is started in: `make bench`
/// times it, and tests kill it.
///
///     network-driver DIRECTORY
///
/// It reads commands from stdin, a line each, and answers each with a line when it is done:
///
///     reconcile COUNT                        instances 1 to COUNT are attached, each with a published port
///     attach NUMBER [port] [limits]          `attaching`, then `done`, after which the log has the times
///     detach NUMBER
///     teardown
@main struct NetworkDriver {
    private let network: BridgeNetwork
    private let gateway: IPv4Address

    static func main() async throws {
        guard CommandLine.arguments.count == 2 else {
            FileHandle.standardError.write(Data("usage: network-driver DIRECTORY\n".utf8))
            exit(64)
        }
        let driver = try NetworkDriver(directory: FilePath(CommandLine.arguments[1]))
        while let line = readLine() {
            do {
                try await driver.obey(line.split(separator: " ").map(String.init))
                answer("done")
            } catch {
                answer("failed: \(error)")
            }
        }
        await driver.network.release()
    }

    private init(directory: FilePath) throws {
        var logger = Logger(label: "network-driver", factory: { StreamLogHandler.standardError(label: $0) })
        logger.logLevel = .debug
        guard let subnet = IPv4Subnet("10.100.0.0/16") else { throw AgentError(.internal, "no subnet") }
        gateway = subnet.base + 1
        network = BridgeNetwork(
            configuration: BridgeConfiguration(
                bridge: "vmbr0",
                subnet: subnet,
                gateway: gateway,
                dnsServers: [],
                directory: directory
            ),
            supervisor: ChildProcessSupervisor(logger: logger),
            logger: logger
        )
    }

    private func obey(_ words: [String]) async throws {
        let number = words.dropFirst().first.flatMap { UInt32($0) } ?? 0
        switch words.first {
        case "reconcile":
            try await network.reconcile(try (0..<number).map { try endpoint($0 + 1, ["port"]) })
        case "attach":
            let endpoint = try endpoint(number, words.dropFirst(2))
            Self.answer("attaching")
            try await network.attach(endpoint)
        case "detach": try await network.detach(try endpoint(number, []))
        case "teardown": try await network.tearDown()
        default: throw AgentError(.invalidArgument, "no such command: \(words)")
        }
    }

    private func endpoint(_ number: UInt32, _ options: some Collection<String>) throws -> NetworkEndpoint {
        let rate = options.contains("limits") ? BitRate(bitsPerSecond: 100_000_000) : nil
        let port = PublishedPort(hostPort: UInt16(20_000 + number), guestPort: 80)
        return NetworkEndpoint(
            instance: .random(),
            name: try InstanceName("instance-\(number)"),
            attachment: network.attachment(at: gateway + number),
            limits: BandwidthLimits(download: rate, upload: rate),
            publishedPorts: options.contains("port") ? [port] : []
        )
    }

    private static func answer(_ text: String) {
        FileHandle.standardOutput.write(Data("\(text)\n".utf8))
    }
}

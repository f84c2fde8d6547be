import AgentCore
import AgentTestSupport
import Foundation
import HypervisorPlugin
import Logging
import Subprocess
import SystemPackage
import Testing

@testable import NetworkPlugin

/// A bridge in a namespace of its own, with a name service's directory.
struct NameServiceFixture: Sendable {
    let namespace: TestNamespace
    let scratch: Scratch

    static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    static let subnet = "10.9.0.0/24"

    var network: HostNetwork { HostNetwork(namespace: namespace.name) }

    /// Runs `body` with a bridge that has its address, and removes all afterwards.
    static func with(_ body: (NameServiceFixture) async throws -> Void) async throws {
        try await Scratch.with { scratch in
            try await TestNamespace.with { namespace in
                let fixture = NameServiceFixture(namespace: namespace, scratch: scratch)
                try await fixture.makeBridge("vmbr0", "10.9.0.1/24")
                try await body(fixture)
            }
        }
    }

    func makeBridge(_ name: String, _ address: String) async throws {
        try await namespace.run("ip", "link", "add", name, "type", "bridge")
        try await namespace.run("ip", "address", "add", address, "dev", name)
        try await namespace.run("ip", "link", "set", name, "up")
    }

    /// What the service of a bridge is told.
    func configuration(
        bridge: String = "vmbr0",
        subnet: String = Self.subnet,
        dnsServers: [IPv4Address] = []
    ) throws -> BridgeConfiguration {
        let subnet = try #require(IPv4Subnet(subnet))
        return BridgeConfiguration(
            bridge: bridge,
            subnet: subnet,
            gateway: subnet.base + 1,
            dnsServers: dnsServers,
            directory: scratch.appending("network-\(bridge)"),
            namespace: namespace.name
        )
    }

    /// A service as an agent's life has one.
    func makeService(_ configuration: BridgeConfiguration) -> NameService {
        NameService(
            configuration: configuration,
            network: network,
            supervisor: ChildProcessSupervisor(logger: Self.logger),
            logger: Self.logger
        )
    }

    /// Runs `body` with a service that has started, and stops it afterwards.
    func withService(
        _ configuration: BridgeConfiguration,
        mtu: Int = 1500,
        _ body: (NameService) async throws -> Void
    ) async throws {
        let service = makeService(configuration)
        do {
            try await service.start(mtu: mtu)
            try await body(service)
        } catch {
            try await service.stop()
            throw error
        }
        try await service.stop()
    }

    /// What a name server says to a question: the answer, `NXDOMAIN`, or all that the tool wrote.
    func ask(_ name: String, type: String = "a", _ server: String = "10.9.0.1") async throws -> String {
        let labels = name.split(separator: ".")
        let name = type == "ptr" ? labels.reversed().joined(separator: ".") + ".in-addr.arpa" : name
        let result = try await run(
            .name("ip"),
            arguments: [
                "netns", "exec", namespace.name, "busybox", "nslookup", "-type=\(type)", name, server,
            ],
            output: .string(limit: 1 << 16),
            error: .combinedWithOutput
        )
        let lines = result.standardOutput.split(separator: "\n").drop { !$0.hasPrefix("Address") }.dropFirst()
        if let name = lines.first(where: { $0.contains("name = ") }) {
            return String(name.split(separator: " ").last ?? "")
        }
        if let address = lines.first(where: { $0.hasPrefix("Address") }) {
            return String(address.split(separator: " ").last ?? "")
        }
        return lines.contains { $0.hasSuffix("NXDOMAIN") } ? "NXDOMAIN" : result.standardOutput
    }

    static func endpoint(_ name: String, _ address: String) throws -> NetworkEndpoint {
        let address = try #require(IPv4Address(address))
        return NetworkEndpoint(
            instance: .random(),
            name: try InstanceName(name),
            attachment: NetworkAttachment(
                network: "default",
                address: address,
                mac: MACAddress(derivedFrom: address),
                tap: "tap"
            )
        )
    }

    /// Waits for something that comes by itself.
    static func eventually(_ what: String, _ isTrue: @escaping @Sendable () async throws -> Bool) async throws {
        try await withDeadline(.seconds(60), clock: ContinuousClock(), what) {
            while try await !isTrue() { try await Task.sleep(for: .milliseconds(20)) }
        }
    }
}

/// A dnsmasq of somebody else's.
struct ForeignServer {
    /// Runs `body` while it runs in a namespace; it has ended afterwards.
    static func with(
        in namespace: TestNamespace,
        _ arguments: [String],
        scratch: Scratch,
        _ body: (Int32) async throws -> Void
    ) async throws {
        let mark = "--pid-file=\(scratch.appending("foreign-\(UUID()).pid"))"
        let process = try await ChildProcessSupervisor(logger: NameServiceFixture.logger).start(
            ProcessSpecification(
                executable: "/usr/sbin/ip",
                arguments: ["netns", "exec", namespace.name, "dnsmasq", "--conf-file=/dev/null", "--user=root", mark]
                    + ["--keep-in-foreground", "--no-hosts", "--no-resolv", "--no-ping"] + arguments,
                environment: ["PATH": HostTool.searchPath],
                workingDirectory: "/",
                outputFile: scratch.appending("foreign.log"),
                mark: mark,
                capabilities: Set(ProcessCapability.allCases)
            )
        )
        do {
            let pid = process.identity.pid
            try await NameServiceFixture.eventually("the other server's sockets") {
                try await namespace.run("ss", "-Hlntup").contains("pid=\(pid)")
            }
            try await body(pid)
        } catch {
            process.signal(9)
            _ = try await process.waitForExit()
            throw error
        }
        process.signal(9)
        _ = try await process.waitForExit()
    }
}

/// A guest in a namespace of its own, whose card is a port of the bridge.
struct ForeignGuest {
    let namespace: TestNamespace
    let script: FilePath

    static func with(
        _ fixture: NameServiceFixture,
        mac: MACAddress,
        bridge: String = "vmbr0",
        _ body: (ForeignGuest) async throws -> Void
    ) async throws {
        let script = try fixture.scratch.write(
            Array("#!/bin/sh\nset\necho event=$1\n".utf8),
            to: "event-\(UUID())"
        )
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: script.string)
        try await TestNamespace.with { namespace in
            let port = "p\(UUID().uuidString.prefix(8))"
            try await fixture.namespace.addCable(port, to: namespace, "eth0")
            try await fixture.namespace.run("ip", "link", "set", port, "master", bridge, "up")
            try await namespace.run("ip", "link", "set", "eth0", "address", mac.description, "up")
            try await body(ForeignGuest(namespace: namespace, script: script))
            try await fixture.namespace.run("ip", "link", "delete", port)
        }
    }

    /// Asks for an address, once; what the server gave, nil if it gave none.
    func lease(_ options: String...) async throws -> [String: String]? {
        let result = try await run(
            .name("ip"),
            arguments: Arguments(
                [
                    "netns", "exec", namespace.name, "busybox", "udhcpc", "-f", "-n", "-q", "-t", "3", "-T", "2", "-i",
                    "eth0", "-s", script.string, "-O", "search", "-O", "mtu",
                ] + options
            ),
            output: .string(limit: 1 << 16),
            error: .discarded
        )
        var values: [String: String] = [:]
        for line in result.standardOutput.split(separator: "\n") {
            let parts = line.split(separator: "=", maxSplits: 1)
            guard parts.count == 2 else { continue }
            values[String(parts[0])] = parts[1].trimmingCharacters(in: ["'"])
        }
        return values["event"] == "bound" ? values : nil
    }
}

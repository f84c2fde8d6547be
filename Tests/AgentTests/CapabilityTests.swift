import AgentCore
import AgentTestSupport
import Foundation
import Subprocess
import SystemPackage
import Testing

@testable import hypeman_agent

@Suite struct CapabilityCheckTests {
    private func finding(_ own: Set<ProcessCapability>, _ passedOn: Set<ProcessCapability>) -> HostFinding {
        CapabilityCheck(
            isNeeded: true,
            capabilities: Capabilities(own: own, passedOn: passedOn),
            executable: "/opt/agent"
        ).findings()[0]
    }

    @Test func whatIsMissingIsNamedWithTheCommandThatGivesIt() {
        let all = Set(Capabilities.needed)
        #expect(finding(all, all).level == .ok)
        let partly = finding([.networkAdministration], [.networkAdministration])
        #expect(partly.level == .error && partly.message.hasSuffix("missing is cap_net_bind_service"))
        #expect(partly.fix?.contains("setcap cap_net_admin,cap_net_bind_service=+eip /opt/agent") == true)
        let kept = finding(all, [.privilegedPorts])
        #expect(kept.level == .error && kept.message.contains("cap_net_admin from this process"))
        let unneeded = CapabilityCheck(isNeeded: false, capabilities: Capabilities(own: [], passedOn: []))
        #expect(unneeded.findings().map(\.level) == [.ok, .ok])
    }

    @Test func aTunDeviceThatIsNotThereIsNamed() {
        let check = CapabilityCheck(isNeeded: true, tunDevice: "/nonexistent/tun")
        #expect(check.findings()[1].level == .error && check.findings()[1].fix == "modprobe tun")
    }
}

/// The agent's program as an ordinary user starts it, with the capabilities of its file.
@Suite struct CapabilityTests {
    /// Stands for any tool that the agent runs: the first that `check` starts is the hypervisor.
    private static let tools = """
        #!/bin/sh
        exec >"$0.log" 2>&1
        ip link add proof0 type bridge && ip link show proof0 && iptables-nft -t nat -S && echo done
        """

    /// Runs `check` as nobody in an empty network namespace; what it says, and what its tool could do.
    private func check(fileCapabilities: Bool) async throws -> (check: String, tool: String) {
        let products = try FilePath(#require(Bundle.main.executablePath)).removingLastComponent()
        return try await Scratch.with { scratch in
            let agent = scratch.appending("hypeman-agent")
            try FileManager.default.copyItem(atPath: products.appending("hypeman-agent").string, toPath: agent.string)
            let script = try scratch.write(Array(Self.tools.utf8), to: "tool")
            try await tool("chmod", ["755", script.string])
            try await tool("chown", ["-R", "nobody", scratch.path.string])
            if fileCapabilities {
                try await tool("setcap", ["cap_net_admin,cap_net_bind_service=+eip", agent.string])
            }
            let namespace = "hyp-\(getpid())-\(UUID().uuidString.prefix(8).lowercased())"
            try await tool("ip", ["netns", "add", namespace])
            let result = await Result {
                try await run(
                    .name("ip"),
                    arguments: [
                        "netns", "exec", namespace, "setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups",
                        "--inh-caps=-all", agent.string, "check",
                    ],
                    environment: .custom([
                        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "QEMU_PATH": script.string, "NETWORK": "none",
                        "DATA_DIR": scratch.appending("data").string, "RUNTIME_DIR": scratch.appending("run").string,
                    ]),
                    workingDirectory: scratch.path,
                    output: .string(limit: 1 << 16),
                    error: .combinedWithOutput
                ).standardOutput
            }
            try await tool("ip", ["netns", "del", namespace])
            return (try result.get(), try String(contentsOfFile: script.string + ".log", encoding: .utf8))
        }
    }

    @Test func toolsOfAnOrdinaryUsersAgentHaveTheCapabilitiesOfItsFile() async throws {
        let (check, tool) = try await check(fileCapabilities: true)
        #expect(check.contains("capabilities: cap_net_admin, cap_net_bind_service, also for tools"), "\(check)")
        #expect(
            tool.contains("proof0") && tool.contains("-P POSTROUTING ACCEPT") && tool.hasSuffix("done\n"),
            "\(tool)"
        )
    }

    @Test func withoutThemToolsCanDoNothingAndCheckSaysSo() async throws {
        let (check, tool) = try await check(fileCapabilities: false)
        #expect(check.contains("and this process has none of them"), "\(check)")
        #expect(!tool.contains("done"), "\(tool)")
    }
}

extension Result where Failure == any Error {
    fileprivate init(_ body: () async throws -> Success) async {
        do { self = .success(try await body()) } catch { self = .failure(error) }
    }
}

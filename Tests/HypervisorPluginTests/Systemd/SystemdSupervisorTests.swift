import AgentCore
import AgentTestSupport
import DBus
import Foundation
import SystemPackage
import Testing

@testable import HypervisorPlugin

struct UnitStateTests {
    private func state(_ service: [String: Value]) -> UnitState {
        UnitState(
            unit: ["ActiveState": .string("failed"), "InvocationID": .bytes([0, 255, 16])],
            service: service
        )
    }

    @Test func anEndIsReadAsSystemdTellsIt() {
        let exited = state(["ExecMainCode": .int32(1), "ExecMainStatus": .int32(7), "ExecMainPID": .uint32(9)])
        #expect(exited.invocation == "00ff10")
        #expect(exited.exit == .code(7))
        #expect(exited.lastProcess == 9)
        #expect(exited.isOver)
        #expect(
            state(["ExecMainCode": .int32(2), "ExecMainStatus": .int32(9), "Result": .string("signal")]).exit
                == .signal(9)
        )
        #expect(
            state(["ExecMainCode": .int32(2), "ExecMainStatus": .int32(9), "Result": .string("oom-kill")]).exit
                == .outOfMemory
        )
        #expect(state(["ExecMainCode": .int32(0), "MainPID": .uint32(5)]).exit == nil)
        // Another type than the documented one is no value.
        #expect(state(["ExecMainCode": .string("1")]).exit == nil)
    }

    @Test func onlyThePackagedUnitsAreUnits() throws {
        let id = InstanceID.random()
        for unit in [ProcessUnit.machine(id), .nameService(bridge: "vmbr0")] {
            #expect(SystemdSupervisor.unit(named: unit.name) == unit)
        }
        for name in ["ssh.service", "hypeman-vm@x.service", "hypeman-vm@\(id).socket", "hypeman-dnsmasq@.service", ""] {
            #expect(SystemdSupervisor.unit(named: name) == nil)
        }
    }

    @Test func anIdentityOfAnEarlierAgentIsRead() throws {
        let stored = Data(#"{"pid": 4, "startTime": 5, "bootID": "b"}"#.utf8)
        let identity = try JSONDecoder().decode(ProcessIdentity.self, from: stored)
        #expect(identity == ProcessIdentity(pid: 4, startTime: 5, bootID: "b"))
        let own = ProcessIdentity(pid: 4, startTime: 5, bootID: "b", unit: "u", invocation: "i")
        #expect(try JSONDecoder().decode(ProcessIdentity.self, from: JSONEncoder().encode(own)) == own)
    }

    @Test(.enabled(if: SupervisorKind.obstacle() != nil))
    func withoutUnitsItSaysWhatIsMissing() throws {
        let error = #expect(throws: AgentError.self) {
            try SystemdSupervisor(
                configuration: ProcessesConfiguration(dataDirectory: SupervisorKind.dataDirectory),
                logger: QEMUFixture.logger
            )
        }
        #expect(error?.code == "systemd_unavailable")
        #expect(error?.message.contains("SUPERVISOR=child") == true)
    }
}

/// Real units, where systemd runs and has them: in the whole-host machine, as the agent's user.
@Suite(.enabled(if: SupervisorKind.obstacle() == nil))
struct SystemdSupervisorTests {
    private static func makeSupervisor() throws -> SystemdSupervisor {
        try SystemdSupervisor(
            configuration: ProcessesConfiguration(dataDirectory: SupervisorKind.dataDirectory),
            logger: QEMUFixture.logger
        )
    }

    private static func specification(_ script: String, limits: ProcessLimits = ProcessLimits()) throws
        -> ProcessSpecification
    {
        let instance = InstanceID.random()
        let directory = FilePath("/run/hypeman/vms").appending(instance.rawValue)
        try FileManager.default.createDirectory(atPath: directory.string, withIntermediateDirectories: true)
        return ProcessSpecification(
            executable: "/bin/sh",
            arguments: ["-c", script, "mark-\(instance)"],
            environment: ["PATH": "/usr/bin:/bin"],
            workingDirectory: "/",
            outputFile: directory.appending("vmm.log"),
            mark: "mark-\(instance)",
            unit: .machine(instance),
            limits: limits
        )
    }

    private func output(of script: String) async throws -> String {
        let specification = try Self.specification(script)
        let supervisor = try Self.makeSupervisor()
        let process = try await supervisor.start(specification)
        _ = try await withDeadline(.seconds(60), "no exit") { try await process.waitForExit() }
        await supervisor.close()
        return try String(contentsOfFile: specification.outputFile.string, encoding: .utf8)
    }

    @Test(arguments: ProcessSupervisorConformance.claims)
    func itIsAProcessSupervisor(_ claim: ConformanceClaim<ProcessSupervisorConformance.Subject>) async throws {
        let next = try Self.makeSupervisor()
        try await claim.check(
            ProcessSupervisorConformance.Subject(
                supervisor: try Self.makeSupervisor(),
                restart: { next },
                // The shell stays, and so does its mark.
                lasting: try Self.specification("while :; do sleep 100; done"),
                ending: try Self.specification("exit 7")
            )
        )
    }

    @Test func aVMHasAUserOfItsOwnAndNoRights() async throws {
        let script = "id -u; id -gn; grep -c . /proc/self/status; grep ^CapEff /proc/self/status"
        let first = try await output(of: script).split(separator: "\n")
        let second = try await output(of: script).split(separator: "\n")
        #expect(first.first != second.first)
        #expect(first[1] == "hypeman-vm")
        #expect(first.last == "CapEff:\t0000000000000000")
    }

    @Test func aVMSeesNothingOfOthers() async throws {
        let said = try await output(
            of: "ls /run/hypeman; ls /run/hypeman/vms; ls -A /var/lib/hypeman; ls /etc/hypeman 2>&1"
        )
        let lines = said.split(separator: "\n")
        #expect(lines.count == 3)
        #expect(lines.first == "vms")
        #expect(InstanceID(rawValue: String(lines[1])) != nil)
        #expect(lines.last?.contains("Permission denied") == true)
    }

    @Test func whatNeedsTooMuchMemoryEndsForThat() async throws {
        let supervisor = try Self.makeSupervisor()
        let process = try await supervisor.start(
            Self.specification("tail /dev/zero", limits: ProcessLimits(memory: .mebibytes(64), processors: 1))
        )
        #expect(try await withDeadline(.seconds(120), "no end") { try await process.waitForExit() } == .outOfMemory)
        await supervisor.close()
    }
}

import AgentCore
import AgentTestSupport
import SystemPackage
import Testing

@Suite struct InstanceStateMachineVolumesTests {
    private static func machine(
        in state: InstanceState,
        _ change: (inout Instance) -> Void = { _ in }
    ) -> InstanceStateMachine {
        var instance = Fixtures.instance("web")
        instance.state = state
        instance.description = Fixtures.machine
        change(&instance)
        return InstanceStateMachine(instance)
    }

    private static func change(_ kind: InstanceVolumeChange.Kind) throws -> InstanceVolumeChange {
        let mount = VolumeMount(volume: .random(), path: try MountPath("/data"))
        return InstanceVolumeChange(
            kind,
            mount,
            disk: .init(serial: mount.serial, path: "/nonexistent/data", readOnly: false, slot: 0)
        )
    }

    @Test func onlyOneChangeIsUnderWayAndOnlyWhileItRuns() throws {
        let change = try Self.change(.attaching)
        for state in InstanceState.allCases where state != .running {
            var machine = Self.machine(in: state)
            #expect(throws: AgentError.self, "\(state)") {
                try machine.apply(.volumeChangeBegan(change), at: Fixtures.time)
            }
            #expect(machine.instance.volumeChange == nil)
        }
        var machine = Self.machine(in: .running)
        try machine.apply(.volumeChangeBegan(change), at: Fixtures.time)
        #expect(throws: AgentError.self) { try machine.apply(.volumeChangeBegan(change), at: Fixtures.time) }
        #expect(machine.instance.specification.volumes.isEmpty, "it is not there yet")
        var deleted = Self.machine(in: .running) { $0.desired = .deleted }
        #expect(throws: AgentError.self) { try deleted.apply(.volumeChangeBegan(change), at: Fixtures.time) }
    }

    @Test func whatIsDoneIsInTheSpecificationAndTheDescription() throws {
        let change = try Self.change(.attaching)
        var machine = Self.machine(in: .running)
        try machine.apply(.volumeChangeBegan(change), at: Fixtures.time)
        try machine.apply(.volumeChangeDone, at: Fixtures.time)
        #expect(machine.instance.specification.volumes == [change.mount])
        #expect(machine.instance.description?.disks == [change.disk])
        #expect(machine.instance.volumeChange == nil)
        let detach = InstanceVolumeChange(.detaching, change.mount, disk: change.disk)
        try machine.apply(.volumeChangeBegan(detach), at: Fixtures.time)
        try machine.apply(.volumeChangeGivenUp, at: Fixtures.time)
        #expect(machine.instance.specification.volumes == [change.mount], "it stays")
        try machine.apply(.volumeChangeBegan(detach), at: Fixtures.time)
        try machine.apply(.volumeChangeDone, at: Fixtures.time)
        #expect(machine.instance.specification.volumes.isEmpty && machine.instance.description?.disks.isEmpty == true)
    }

    @Test func itEndsWithTheMachine() throws {
        let change = try Self.change(.attaching)
        for transition in [InstanceTransition.machineExited(.signal(9)), .hostRebooted] {
            var machine = Self.machine(in: .running) { instance in
                instance.machine = MachineRecord(
                    hypervisor: .qemu,
                    version: "1",
                    accelerator: .tcg,
                    process: ProcessIdentity(pid: 1, startTime: 1, bootID: "boot"),
                    runtimeDirectory: "/nonexistent",
                    session: "session"
                )
            }
            try machine.apply(.volumeChangeBegan(change), at: Fixtures.time)
            try machine.apply(transition, at: Fixtures.time)
            #expect(machine.instance.volumeChange == nil && machine.instance.specification.volumes.isEmpty)
        }
    }

    @Test func otherVolumesAreForOneThatIsStopped() throws {
        let mount = try Self.change(.attaching).mount
        for state in InstanceState.allCases {
            var machine = Self.machine(in: state)
            let isApplied = (try? machine.apply(.volumesChanged([mount]), at: Fixtures.time)) != nil
            #expect(isApplied == (state == .stopped), "\(state)")
            #expect(machine.instance.specification.volumes == (isApplied ? [mount] : []))
        }
    }
}

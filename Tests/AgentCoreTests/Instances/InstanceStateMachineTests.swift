import AgentCore
import AgentTestSupport
import GuestProtocol
import SystemPackage
import Testing

@Suite struct InstanceStateMachineTests {
    private static let record = MachineRecord(
        hypervisor: .qemu,
        version: "7.2",
        accelerator: .tcg,
        process: ProcessIdentity(pid: 10, startTime: 5, bootID: "b"),
        runtimeDirectory: "/run/x",
        session: "00"
    )

    /// A machine after these transitions.
    private static func machine(_ transitions: InstanceTransition...) throws -> InstanceStateMachine {
        var machine = InstanceStateMachine(Fixtures.instance("web"))
        for transition in transitions { try machine.apply(transition, at: Fixtures.time) }
        return machine
    }

    private static let start = InstanceTransition.startRequested(StartInstanceRequest())
    private static let boot = InstanceTransition.machineStarted(
        record,
        Fixtures.machine,
        phases: [.disks: .milliseconds(3)]
    )
    private static let runs = InstanceTransition.programStarted(after: .milliseconds(1))
    private static let exits = InstanceTransition.programExited(GuestExit(code: 3))

    /// Each state by a way that leads to it.
    private static func reach(_ state: InstanceState) throws -> InstanceStateMachine? {
        switch state {
        case .created: try machine(start)
        case .initializing: try machine(start, boot)
        case .running: try machine(start, boot, runs)
        case .paused: try machine(start, boot, runs, .paused)
        case .shutdown: try machine(start, boot, runs, exits)
        case .stopped: try machine(start, boot, runs, exits, .machineExited(.code(0)), .cleanedUp)
        case .standby:
            try machine(
                start,
                boot,
                runs,
                .paused,
                .saved(InstanceStandby(snapshot: .random(), createdAt: Fixtures.time)),
                .machineExited(.signal(9)),
                .cleanedUp
            )
        case .unknown: nil
        }
    }

    @Test func anOrdinaryLife() throws {
        var machine = try Self.machine(Self.start)
        #expect(machine.instance.state == .created && machine.instance.boots == 1)
        try machine.apply(Self.boot, at: Fixtures.time)
        #expect(machine.instance.state == .initializing && machine.instance.machine == Self.record)
        try machine.apply(.guestAnswered(after: .seconds(2)), at: Fixtures.time)
        try machine.apply(Self.runs, at: Fixtures.time)
        #expect(machine.instance.state == .running && machine.instance.phases.count == 3)
        try machine.apply(Self.exits, at: Fixtures.time)
        #expect(machine.instance.state == .shutdown)
        try machine.apply(.machineExited(.code(0)), at: Fixtures.time)
        #expect(machine.instance.machine == nil)
        try machine.apply(.cleanedUp, at: Fixtures.time)
        #expect(machine.instance.state == .stopped && machine.instance.desired == .stopped)
        #expect(machine.instance.exit == InstanceExit(reason: .exited, code: 3))
        try machine.apply(Self.start, at: Fixtures.time)
        #expect(machine.instance.exit == nil && machine.instance.boots == 2 && machine.instance.desired == .running)
    }

    /// Every state against every kind of transition: which state follows, or nil where it is refused.
    @Test(
        arguments: [
            (
                InstanceState.created,
                [
                    nil, .initializing, .stopped, .created, .created, .created, .created, .created, .created, .created,
                    .stopped,
                    nil, nil, nil, .created, .created,
                ]
            ),
            (
                .initializing,
                [
                    nil, .initializing, .initializing, .running, .shutdown, .initializing, .initializing, .initializing,
                    .shutdown, .initializing, .stopped,
                    nil, nil, nil, .initializing, .initializing,
                ]
            ),
            (
                .running,
                [
                    nil, .running, .running, .running, .shutdown, .running, .paused, .running, .shutdown, .running,
                    .stopped,
                    .running, .running, nil, .running, .running,
                ]
            ),
            (
                .paused,
                [
                    nil, .paused, .paused, .paused, .shutdown, .paused, .paused, .running, .shutdown, .paused, .stopped,
                    .paused, .paused, nil, .paused, .paused,
                ]
            ),
            (
                .shutdown,
                [
                    nil, .shutdown, .shutdown, .shutdown, .shutdown, .shutdown, .shutdown, .shutdown, .shutdown,
                    .stopped, .stopped,
                    nil, nil, nil, .shutdown, .shutdown,
                ]
            ),
            (
                .stopped,
                [
                    .created, .stopped, .stopped, .stopped, .stopped, .stopped, .stopped, .stopped, .stopped, .stopped,
                    .stopped,
                    nil, nil, nil, .stopped, .stopped,
                ]
            ),
            (
                .standby,
                [
                    nil, .standby, .standby, .standby, .standby, .standby, .standby, .standby, .standby, .standby,
                    .standby, nil, nil, .standby, .paused, .stopped,
                ]
            ),
        ] as [(InstanceState, [InstanceState?])]
    )
    func everyStateAndTransition(_ state: InstanceState, _ expected: [InstanceState?]) throws {
        let transitions: [InstanceTransition] = [
            Self.start, Self.boot, .startFailed("x"), Self.runs, Self.exits, .stopRequested, .paused, .resumed,
            .machineExited(.code(1)), .cleanedUp, .hostRebooted, .pauseRequested, .resumeRequested, .restoreRequested,
            .restored(Self.record, Fixtures.machine), .standbyForgotten,
        ]
        #expect(expected.count == transitions.count)
        for (transition, next) in zip(transitions, expected) {
            var machine = try #require(try Self.reach(state))
            let before = machine
            do {
                try machine.apply(transition, at: Fixtures.time)
                #expect(machine.instance.state == next, "\(state) + \(transition)")
            } catch {
                #expect(next == nil, "\(state) + \(transition)")
                #expect(error.kind == .invalidState)
                #expect(machine == before, "a refused request changes nothing")
            }
        }
    }

    @Test(arguments: InstanceState.allCases)
    func deleteIsAcceptedInEveryState(_ state: InstanceState) throws {
        var instance = try Self.reach(state)?.instance ?? Fixtures.instance("web")
        instance.state = state
        var machine = InstanceStateMachine(instance)
        try machine.apply(.deleteRequested, at: Fixtures.time)
        try machine.apply(.deleteRequested, at: Fixtures.time)
        #expect(machine.instance.desired == .deleted)
        #expect(throws: AgentError.self) { try machine.apply(Self.start, at: Fixtures.time) }
        #expect(throws: AgentError.self) { try machine.apply(.stopRequested, at: Fixtures.time) }
    }

    @Test func aVMMThatDiesByItselfIsNamed() throws {
        let machine = try Self.machine(Self.start, Self.boot, Self.runs, .machineExited(.signal(9)), .cleanedUp)
        #expect(machine.instance.exit?.reason == .machineDied)
        #expect(machine.instance.stateError?.contains("signal 9") == true)
    }

    @Test func aProgramThatCannotStartIsNamed() throws {
        let exit = GuestExit(code: 127, message: "program '/nope' is not in the image")
        let machine = try Self.machine(
            Self.start,
            Self.boot,
            .programExited(exit),
            .machineExited(.code(0)),
            .cleanedUp
        )
        #expect(machine.instance.exit == InstanceExit(reason: .startFailed, code: 127, message: exit.message))
        #expect(machine.instance.stateError == exit.message)
    }

    @Test func aStopThatWorkedAndOneThatKilledDiffer() throws {
        let obeyed = try Self.machine(
            Self.start,
            Self.boot,
            Self.runs,
            .stopRequested,
            .programExited(GuestExit(code: 143, signal: 15))
        )
        #expect(obeyed.instance.exit?.reason == .stopped)
        let killed = try Self.machine(
            Self.start,
            Self.boot,
            Self.runs,
            .stopRequested,
            .killing(.killed, "too slow"),
            .programExited(GuestExit(code: 137, signal: 9))
        )
        #expect(killed.instance.exit == InstanceExit(reason: .killed, code: 137, signal: 9, message: "too slow"))
        let vanished = try Self.machine(
            Self.start,
            Self.boot,
            Self.runs,
            .killing(.killed, "too slow"),
            .machineExited(.signal(9))
        )
        #expect(vanished.instance.exit == InstanceExit(reason: .killed, message: "too slow"))
    }

    @Test func aSignalThatNobodySentIsTold() throws {
        let machine = try Self.machine(
            Self.start,
            Self.boot,
            Self.runs,
            .programExited(GuestExit(code: 139, signal: 11))
        )
        #expect(machine.instance.exit == InstanceExit(reason: .signalled, code: 139, signal: 11))
    }

    @Test func theFirstExitOfARunCounts() throws {
        let machine = try Self.machine(Self.start, Self.boot, Self.runs, Self.exits, .programExited(GuestExit(code: 9)))
        #expect(machine.instance.exit?.code == 3)
    }
}

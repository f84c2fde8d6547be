public import AgentCore
public import SystemPackage

/// What every hypervisor must do, whatever it is made of.
public enum HypervisorConformance {
    /// A hypervisor under test.
    public struct Subject: Sendable {
        /// The driver of the agent's first life.
        public var driver: any HypervisorDriver
        /// Ends a life: the driver of the next one.
        ///
        /// Called after everything of the life before was let go of.
        public var restart: @Sendable () -> any HypervisorDriver
        /// A machine that boots a guest which writes to its console and then runs until it is ended, with a runtime
        /// directory that exists and is empty.
        public var machine: MachineDescription
        /// A directory for snapshots, which exists and is empty.
        public var snapshots: FilePath

        public init(
            driver: any HypervisorDriver,
            restart: @escaping @Sendable () -> any HypervisorDriver,
            machine: MachineDescription,
            snapshots: FilePath
        ) {
            self.driver = driver
            self.restart = restart
            self.machine = machine
            self.snapshots = snapshots
        }
    }

    public static let claims: [ConformanceClaim<Subject>] = lifeClaims + snapshotClaims + changeClaims

    /// Of starts, ends and adoption.
    public static let lifeClaims: [ConformanceClaim<Subject>] = [
        ConformanceClaim("the information names the driver and says why it is slow") { subject in
            let information = try await subject.driver.information()
            try require(information.name == subject.driver.name, "it names \(information.name)")
            try require(
                (information.accelerator == .kvm) == (information.acceleratorReason == nil),
                "\(information.accelerator) with the reason \(information.acceleratorReason ?? "nil")"
            )
            try require(!information.version.isEmpty, "no version")
        },
        ConformanceClaim("a started machine writes to its console, counts, and ends when killed") { subject in
            let machine = try await subject.start()
            try require(machine.record.hypervisor == subject.driver.name, "the record names another hypervisor")
            try require(machine.record.session == session, "the record has another session")
            try require(machine.record.runtimeDirectory == subject.machine.runtimeDirectory, "another directory")
            _ = try await within(.seconds(30), "the console's first output") {
                for await bytes in machine.console where !bytes.isEmpty { return }
                throw ConformanceFailure("the console ended")
            }
            let counters = try await machine.counters()
            try require(counters.cpuTime > .zero && counters.residentMemory.bytes > 0, "counters are zero: \(counters)")
            await machine.kill()
            let events = try await remainingEvents(of: machine)
            try require(events.last == .exited(.signal(9)), "the last event is \(String(describing: events.last))")
        },
        ConformanceClaim("after the exit controls throw invalidState and kill does nothing") { subject in
            let machine = try await subject.start()
            await machine.kill()
            _ = try await remainingEvents(of: machine)
            await machine.kill()
            try await requireInvalidState("pause") { try await machine.pause() }
            try await requireInvalidState("resume") { try await machine.resume() }
            try await requireInvalidState("pressPowerButton") { try await machine.pressPowerButton() }
            try await requireInvalidState("counters") { _ = try await machine.counters() }
        },
        ConformanceClaim("pause and resume are idempotent and each change is reported once") { subject in
            let machine = try await subject.start()
            for _ in 0..<2 { try await machine.pause() }
            for _ in 0..<2 { try await machine.resume() }
            await machine.kill()
            let events = try await remainingEvents(of: machine)
            try require(events == [.paused, .resumed, .exited(.signal(9))], "the events are \(events)")
        },
        ConformanceClaim("a machine outlives the driver that started it and obeys the one that adopts it") { subject in
            let record = try await subject.start().record
            let next = subject.restart()
            let machine = try require(
                try await next.adopt(record, instance: subject.machine.instance),
                "it is not found again"
            )
            try require(machine.record == record, "its record is another one: \(machine.record)")
            _ = try await machine.counters()
            try await machine.pause()
            try await machine.resume()
            await machine.kill()
            let events = try await remainingEvents(of: machine)
            try require(events.dropLast() == [.paused, .resumed], "the events are \(events)")
            guard case .exited = events.last else { throw ConformanceFailure("no exit: \(events)") }
            let again = try await next.adopt(record, instance: subject.machine.instance)
            try require(again == nil, "it is found though it is gone")
        },
        ConformanceClaim("another process with the same number is not adopted") { subject in
            let machine = try await subject.start()
            var record = machine.record
            record.process.startTime += 1
            var found = try await subject.driver.adopt(record, instance: subject.machine.instance)
            try require(found == nil, "adopted with another start time")
            record = machine.record
            record.process.bootID = "another"
            found = try await subject.driver.adopt(record, instance: subject.machine.instance)
            try require(found == nil, "adopted from another boot")
            await machine.kill()
            _ = try await remainingEvents(of: machine)
        },
        ConformanceClaim("reap ends what a start left, twice as well as once") { subject in
            let record = try await subject.start().record
            let next = subject.restart()
            let directory = RuntimeDirectory(path: subject.machine.runtimeDirectory)
            for _ in 0..<2 { try await next.reap(instance: subject.machine.instance, runtimeDirectory: directory) }
            let found = try await next.adopt(record, instance: subject.machine.instance)
            try require(found == nil, "it still runs")
        },
        ConformanceClaim("a machine starts again after its end") { subject in
            for _ in 0..<2 {
                let machine = try await subject.start()
                await machine.kill()
                _ = try await remainingEvents(of: machine)
            }
        },
        ConformanceClaim("a start that is cancelled leaves nothing or a whole machine") { subject in
            let start = Task { try await subject.start() }
            start.cancel()
            if let machine = try? await start.value {
                await machine.kill()
                _ = try await remainingEvents(of: machine)
            }
            let machine = try await subject.start()
            await machine.kill()
            _ = try await remainingEvents(of: machine)
        },
    ]

    static let session = "00112233445566778899aabbccddeeff"

    static func remainingEvents(of machine: any VirtualMachine) async throws -> [MachineEvent] {
        try await within(.seconds(30), "the end of the events") {
            var events: [MachineEvent] = []
            for await event in machine.events { events.append(event) }
            return events
        }
    }

    static func requireInvalidState(_ what: String, _ body: () async throws -> Void) async throws {
        do {
            try await body()
        } catch let error as AgentError where error.kind == .invalidState {
            return
        }
        throw ConformanceFailure("\(what) did not throw")
    }
}

extension HypervisorConformance.Subject {
    func start() async throws -> any VirtualMachine {
        try await driver.start(machine, session: "00112233445566778899aabbccddeeff")
    }
}

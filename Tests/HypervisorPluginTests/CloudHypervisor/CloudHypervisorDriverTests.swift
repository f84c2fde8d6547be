import AgentCore
import AgentTestSupport
import CloudHypervisorStub
import Foundation
import SystemPackage
import Testing

@testable import HypervisorPlugin

/// Machines of the stub, and what goes wrong with them.
@Suite(.serialized) struct CloudHypervisorDriverTests {
    @Test func aGuestThatPowersOffIsReportedAndLeavesItsLogAlone() async throws {
        try await StubFixture.with({ $0.guest = .powersOff }) { fixture in
            let (console, events) = try await observe(try await fixture.start())
            #expect(console == "hello from the stub\n")
            #expect(events == [.poweredOff, .exited(.code(0))])
            #expect(try fixture.runtimeFiles() == ["vmm.log"])
        }
    }

    @Test func aGuestThatResetsEndsItsProcessInsteadOfBootingAgain() async throws {
        try await StubFixture.with({ $0.guest = .resets }) { fixture in
            let (_, events) = try await observe(try await fixture.start())
            #expect(events == [.reset, .exited(.code(0))])
        }
    }

    @Test func aGuestThatResetsWhileNoAgentIsThereDoesNotBootAgain() async throws {
        try await StubFixture.with { fixture in
            var machine: (any VirtualMachine)? = try await fixture.start()
            let record = try #require(machine?.record)
            machine = nil
            let process = try #require(
                try await ChildProcessSupervisor(logger: StubFixture.logger).adopt(record.process)
            )
            kill(record.process.pid, SIGUSR1)
            _ = try await withDeadline(.seconds(10), "it runs on") { try await process.waitForExit() }
            let found = try await fixture.restarted().adopt(record, instance: fixture.machine.instance)
            #expect(found == nil)
        }
    }

    @Test func aPanicIsReportedOnce() async throws {
        try await StubFixture.with({ $0.guest = .panics }) { fixture in
            let machine = try await fixture.start()
            var seen: [MachineEvent] = []
            for await event in machine.events {
                seen.append(event)
                // As the instance does.
                if event == .panicked { await machine.kill() }
            }
            #expect(seen == [.panicked, .exited(.signal(9))])
        }
    }

    @Test func aPausedMachineIsAdoptedAsPaused() async throws {
        try await StubFixture.with { fixture in
            var machine: (any VirtualMachine)? = try await fixture.start()
            try await machine?.pause()
            let record = try #require(machine?.record)
            machine = nil
            let adopted = try #require(
                try await fixture.restarted().adopt(record, instance: fixture.machine.instance)
            )
            await adopted.kill()
            let (_, events) = try await observe(adopted)
            #expect(events == [.paused, .exited(.unknown)])
        }
    }

    @Test func requestsGoOverOneConnectionAndInOrder() async throws {
        try await StubFixture.with { fixture in
            let machine = try await fixture.start()
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                for _ in 0..<8 { tasks.addTask { _ = try await machine.counters() } }
                try await tasks.waitForAll()
            }
            let requests = try fixture.requests()
            #expect(Set(requests.map(\.connection)) == [1])
            #expect(requests.map(\.action).prefix(3) == ["vmm.ping", "vm.create", "vm.boot"])
            #expect(requests.map(\.action).filter { $0 == "vm.counters" }.count == 8)
            await machine.kill()
        }
    }

    @Test func countersAreThoseOfTheDisksAlone() async throws {
        try await StubFixture.with { fixture in
            var fixture = fixture
            let mac = try #require(MACAddress("02:00:00:00:00:01"))
            fixture.machine.card = .init(tap: "tap0", mac: mac, mtu: 1400)
            let machine = try await fixture.start()
            let disks = try await machine.counters().disks
            #expect(disks == DiskCounters(readBytes: 8192, writtenBytes: 1024, reads: 4, writes: 2))
            await machine.kill()
        }
    }

    @Test(arguments: [
        (
            Plan.Fault.Kind.answer(status: 500, body: #"["Error from API","no such kernel"]"#),
            "Error from API: no such kernel"
        ),
        (.answer(status: 404, body: "VM is not created"), "VM is not created"),
        (.answer(status: 400, body: ""), "HTTP status 400"),
        (.cut, "closed before the answer was whole"),
        (.flood, "longer than 1048576 bytes"),
        (.silence, "did not start within"),
        (.exit(3), "fatal, as planned"),
    ])
    func aStartThatFailsSaysWhyAndLeavesNothing(_ fault: Plan.Fault.Kind, _ words: String) async throws {
        let timing = CloudHypervisorMachine.Timing(patience: .seconds(3))
        try await StubFixture.with(timing: timing, { $0.faults = [.init("vm.boot", fault)] }) { fixture in
            let error = await #expect(throws: AgentError.self) { try await fixture.start() }
            #expect(error?.description.contains(words) == true, "\(String(describing: error))")
            let (files, processes) = (try fixture.runtimeFiles(), try fixture.processes())
            #expect(files == [])
            #expect(processes == [])
        }
    }

    @Test(arguments: [Plan.Start.exits, .neverListens])
    func aVMMThatDoesNotListenIsGivenUp(_ start: Plan.Start) async throws {
        let timing = CloudHypervisorMachine.Timing(patience: .seconds(2))
        try await StubFixture.with(timing: timing, { $0.start = start }) { fixture in
            let error = await #expect(throws: AgentError.self) { try await fixture.start() }
            let expected: AgentError.Kind = start == .exits ? .unavailable : .timeout
            #expect(error?.kind == expected, "\(String(describing: error))")
            let files = try fixture.runtimeFiles()
            #expect(files == [])
        }
    }

    @Test func anAnswerThatIsLostIsNotAskedForAgainAndTheNextRequestGoesOn() async throws {
        try await StubFixture.with({ $0.faults = [.init("vm.power-button", .cut, times: 1)] }) { fixture in
            let machine = try await fixture.start()
            let error = await #expect(throws: AgentError.self) { try await machine.pressPowerButton() }
            #expect(error?.code == "vmm_connection_lost")
            try await machine.pause()
            let requests = try fixture.requests()
            #expect(requests.map(\.action).filter { $0 == "vm.power-button" }.count == 1)
            #expect(requests.last?.connection == 2)
            await machine.kill()
        }
    }

    @Test func aDiskOfTwoMachinesIsBusyForTheSecondAndInUseForOneThatRuns() async throws {
        try await StubFixture.with { first in
            let machine = try await first.start()
            try await StubFixture.with { second in
                var second = second
                let own = second.machine.disks
                second.machine.disks[1] = first.machine.disks[1]
                let error = await #expect(throws: AgentError.self) { try await second.start() }
                #expect(error?.kind == .busy && error?.code == "disk_in_use", "\(String(describing: error))")
                second.machine.disks = own
                let other = try await second.start()
                let taken = MachineDescription.Disk(
                    serial: "vol-1",
                    path: first.machine.disks[1].path,
                    readOnly: false,
                    slot: 0
                )
                let refused = await #expect(throws: AgentError.self) { try await other.attach(taken) }
                #expect(refused?.kind == .invalidState && refused?.code == "disk_in_use")
                await other.kill()
            }
            await machine.kill()
        }
    }

    @Test func aGuestThatHoldsOnToADiskIsATimeoutAndItIsStillThere() async throws {
        let timing = CloudHypervisorMachine.Timing(unplug: .milliseconds(200))
        try await StubFixture.with(timing: timing, { $0.unplugMilliseconds = nil }) { fixture in
            let machine = try await fixture.start()
            let path = try fixture.scratch.write([1], to: "volume")
            let disk = MachineDescription.Disk(serial: "vol-1", path: path, readOnly: false, slot: 3)
            try await machine.attach(disk)
            for _ in 0..<2 {
                let error = await #expect(throws: AgentError.self) { try await machine.detach(disk) }
                #expect(error?.kind == .timeout)
            }
            let again = await #expect(throws: AgentError.self) { try await machine.attach(disk) }
            #expect(again?.kind == .alreadyExists)
            await machine.kill()
        }
    }

    @Test func aDiskOfTheStartIsNotTakenOut() async throws {
        try await StubFixture.with { fixture in
            let machine = try await fixture.start()
            try await machine.detach(fixture.machine.disks[1])
            let actions = try fixture.requests().map(\.action)
            #expect(!actions.contains("vm.remove-device"))
            await machine.kill()
        }
    }

    @Test func aCardIsPluggedInAndTakenOut() async throws {
        try await StubFixture.with { fixture in
            let machine = try await fixture.start()
            let mac = try #require(MACAddress("02:00:00:00:00:01"))
            let card = MachineDescription.Card(tap: "tap0", mac: mac, mtu: 1400, slot: 2)
            for _ in 0..<2 {
                try await machine.attach(card)
                let error = await #expect(throws: AgentError.self) { try await machine.attach(card) }
                #expect(error?.kind == .alreadyExists)
                try await machine.detachCard()
                try await machine.detachCard()
            }
            await machine.kill()
        }
    }

    @Test func aResizeThatIsPutOffIsTriedAgain() async throws {
        let busy = Plan.Fault.Kind.answer(status: 429, body: #"["Too Many Requests"]"#)
        try await StubFixture.with({ $0.faults = [.init("vm.resize", busy, times: 2)] }) { fixture in
            var fixture = fixture
            fixture.machine.largestSize = MachineSize(vcpus: 4, memory: .mebibytes(512))
            let machine = try await fixture.start()
            try await machine.resize(to: MachineSize(vcpus: 3, memory: .mebibytes(300)))
            let actions = try fixture.requests().map(\.action)
            #expect(actions.filter { $0 == "vm.resize" }.count == 3)
            await machine.kill()
        }
    }

    @Test func aCancelledStartLeavesNothing() async throws {
        for delay in [0, 5, 20, 50, 100] {
            try await StubFixture.with { fixture in
                let start = Task { try await fixture.start() }
                try await Task.sleep(for: .milliseconds(delay))
                start.cancel()
                if let machine = try? await start.value {
                    await machine.kill()
                    _ = try await observe(machine)
                } else {
                    #expect(try fixture.runtimeFiles() == [])
                }
                #expect(try fixture.processes() == [])
            }
        }
    }

    @Test func aRuntimeDirectoryThatItsCommandLineCannotNameIsRefused() async throws {
        try await StubFixture.with { fixture in
            var fixture = fixture
            fixture.machine.runtimeDirectory = "/tmp/a,b"
            let error = await #expect(throws: AgentError.self) { try await fixture.start() }
            #expect(error?.code == "path_not_possible")
            fixture.machine.runtimeDirectory = "/tmp/x"
        }
    }

    @Test func anUnplannedEndIsReportedAsItWas() async throws {
        try await StubFixture.with { fixture in
            let machine = try await fixture.start()
            kill(machine.record.process.pid, SIGKILL)
            let (_, events) = try await observe(machine)
            #expect(events == [.exited(.signal(9))])
        }
    }
}

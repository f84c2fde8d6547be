import AgentCore
import AgentTestSupport
import Foundation
import SystemPackage
import Testing

@testable import HypervisorPlugin

/// Real machines, booted by a real kernel.
@Suite(.serialized) struct QEMUDriverTests {
    @Test func aGuestThatPowersOffIsReportedAndEndsQEMUWithCodeZero() async throws {
        try await QEMUFixture.with(.powersOff) { fixture in
            let (console, events) = try await observe(try await fixture.start())
            #expect(console.contains(TinyGuest.greeting.dropLast()))
            #expect(events == [.poweredOff, .exited(.code(0))])
            #expect(try fixture.runtimeFiles() == ["vmm.log"])
        }
    }

    @Test func aGuestThatResetsIsReportedAndEndsQEMU() async throws {
        try await QEMUFixture.with(.resets) { fixture in
            let (_, events) = try await observe(try await fixture.start())
            #expect(events == [.reset, .exited(.code(0))])
        }
    }

    @Test func aGuestThatPanicsSaysWhyAndEndsQEMU() async throws {
        try await QEMUFixture.with(.panics) { fixture in
            let (console, events) = try await observe(try await fixture.start())
            #expect(console.contains("Kernel panic - not syncing: Attempted to kill init"))
            // Without the guest's pvpanic module the kernel's own reset is all there is.
            #expect(events == [.reset, .exited(.code(0))])
        }
    }

    @Test func aConsoleThatNobodyReadsHoldsNeitherTheGuestNorTheAgentUp() async throws {
        try await QEMUFixture.with(.floods) { fixture in
            let machine = try await fixture.start()
            // The guest has written far more than the buffer holds once it has used this much time.
            try await withDeadline(Patience.of(.seconds(60)), "the guest does not run") {
                while try await machine.counters().cpuTime < .seconds(6) {
                    try await machine.resume()
                    try await Task.sleep(for: .milliseconds(100))
                }
            }
            await machine.kill()
            let (console, events) = try await observe(machine)
            // The buffer, and what still comes once it is being read; the guest has written ten times as much.
            #expect(console.utf8.count <= 128 << 10)
            #expect(events == [.exited(.signal(9))])
        }
    }

    @Test func aRefusedStartQuotesQEMUAndLeavesNothing() async throws {
        try await QEMUFixture.with(.waits) { fixture in
            var fixture = fixture
            fixture.machine.kernel = "/nonexistent/kernel"
            let error = await #expect(throws: AgentError.self) { try await fixture.start() }
            #expect(error?.kind == .unavailable)
            #expect(error?.message.contains("/nonexistent/kernel") == true, "\(String(describing: error))")
            let (files, processes) = (try fixture.runtimeFiles(), try fixture.processes())
            #expect(files == [])
            #expect(processes == [])
        }
    }

    @Test func aDiskOfTwoMachinesIsBusyForTheSecond() async throws {
        try await QEMUFixture.with(.waits) { first in
            var first = first
            let disk = first.scratch.appending("disk, with a comma")
            try Data(count: 1 << 20).write(to: URL(fileURLWithPath: disk.string))
            first.machine.disks = [.init(serial: "overlay", path: disk, readOnly: false)]
            let machine = try await first.start()
            try await QEMUFixture.with(.waits) { [disks = first.machine.disks] second in
                var second = second
                second.machine.disks = disks
                let error = await #expect(throws: AgentError.self) { try await second.start() }
                #expect(error?.kind == .busy, "\(String(describing: error))")
            }
            await machine.kill()
            _ = try await observe(machine)
        }
    }

    @Test func aRuntimeDirectoryThatIsTooLongForASocketIsRefused() async throws {
        try await QEMUFixture.with(.waits) { fixture in
            var fixture = fixture
            let long = fixture.scratch.appending(String(repeating: "d", count: 100))
            fixture.machine.runtimeDirectory = long
            let error = await #expect(throws: AgentError.self) { try await fixture.start() }
            #expect(error?.code == "path_too_long")
        }
    }

    @Test(arguments: [0, 5, 20, 50, 100])
    func aCancelledStartLeavesNothing(afterMilliseconds delay: Int) async throws {
        try await QEMUFixture.with(.waits) { fixture in
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

    @Test func aMachineThatIsKilledFromOutsideIsReportedAsSuch() async throws {
        try await QEMUFixture.with(.waits) { fixture in
            let machine = try await fixture.start()
            kill(machine.record.process.pid, SIGKILL)
            let (_, events) = try await observe(machine)
            #expect(events == [.exited(.signal(9))])
            #expect(try fixture.runtimeFiles() == ["vmm.log"])
        }
    }

    @Test func aQEMUThatCannotBeControlledIsAnErrorAndNotGone() async throws {
        try await QEMUFixture.with(.waits) { fixture in
            let machine = try await fixture.start()
            let files = try QEMUFiles(fixture.machine.runtimeDirectory)
            SocketPath.remove([files.control])
            let error = await #expect(throws: AgentError.self) {
                _ = try await QEMUFixture.makeDriver().adopt(machine.record, instance: fixture.machine.instance)
            }
            #expect(error?.code == "vmm_not_controllable")
            await machine.kill()
            _ = try await observe(machine)
        }
    }

    @Test func aPausedMachineIsAdoptedAsPaused() async throws {
        try await QEMUFixture.with(.waits) { fixture in
            var machine: (any VirtualMachine)? = try await fixture.start()
            try await machine?.pause()
            let record = try #require(machine?.record)
            machine = nil
            let adopted = try #require(
                try await QEMUFixture.makeDriver().adopt(record, instance: fixture.machine.instance)
            )
            await adopted.kill()
            let (_, events) = try await observe(adopted)
            #expect(events.first == .paused)
        }
    }

    @Test func descriptorsAreNotLeakedByMachines() async throws {
        func descriptors() throws -> Int { try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count }
        func cycle() async throws {
            try await QEMUFixture.with(.waits) { fixture in
                let machine = try await fixture.start()
                await machine.kill()
                _ = try await observe(machine)
            }
        }
        try await cycle()
        let before = try descriptors()
        for _ in 0..<5 { try await cycle() }
        // Other suites run at the same time, so a few may come and go; five machines would leave fifteen.
        #expect(try descriptors() < before + 10)
    }

    @Test func theHostsFindingsAreTold() async throws {
        let information = try await QEMUFixture.makeDriver().information()
        #expect(information.version.first?.isNumber == true)
        #expect(information.executable.isAbsolute)
    }

    @Test func aMissingQEMUIsUnavailableAndNamed() async throws {
        let driver = QEMUDriver(
            configuration: QEMUConfiguration(executable: "/nonexistent/qemu"),
            supervisor: InMemorySupervisor(),
            logger: QEMUFixture.logger
        )
        let error = await #expect(throws: AgentError.self) { try await driver.information() }
        #expect(error?.code == "hypervisor_not_found")
        #expect(error?.message.contains("/nonexistent/qemu") == true)
    }
}

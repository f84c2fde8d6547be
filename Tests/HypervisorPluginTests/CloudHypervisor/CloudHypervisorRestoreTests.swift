import AgentCore
import AgentTestSupport
import CloudHypervisorStub
import Foundation
import SystemPackage
import Testing

@testable import HypervisorPlugin

@Suite(.serialized) struct CloudHypervisorRestoreTests {
    /// A machine that was saved and ended.
    private func save(_ fixture: StubFixture) async throws -> SnapshotDirectory {
        let directory = SnapshotDirectory(path: try fixture.scratch.directory("saved"))
        let machine = try await fixture.start()
        try await machine.pause()
        try await machine.snapshot(to: directory)
        await machine.kill()
        _ = try await observe(machine)
        return directory
    }

    private func contents(_ directory: SnapshotDirectory) throws -> [String: Data] {
        let names = try FileManager.default.contentsOfDirectory(atPath: directory.path.string)
        return try Dictionary(
            uniqueKeysWithValues: names.map {
                ($0, try Data(contentsOf: URL(filePath: directory.path.appending($0).string)))
            }
        )
    }

    @Test func aCopyIsTakenUpWithPathsOfItsOwnAndTheSnapshotStaysAsItWas() async throws {
        try await StubFixture.with { fixture in
            var fixture = fixture
            let directory = try await save(fixture)
            let before = try contents(directory)
            fixture.machine.instance = .random()
            fixture.machine.runtimeDirectory = try fixture.scratch.directory("copy")
            fixture.machine.disks[1].path = try fixture.scratch.write([4], to: "overlay-copy")
            let machine = try await fixture.driver.restore(
                fixture.machine,
                from: directory,
                session: StubFixture.session
            )
            try await machine.resume()
            let info = try await #require(machine as? CloudHypervisorMachine).info()
            #expect(info.state == "Running")
            #expect(try fixture.runtimeFiles() == ["api.sock", "console.sock", "events", "vmm.log", "vsock.sock"])
            #expect(try contents(directory) == before)
            await machine.kill()
            let (_, events) = try await observe(machine)
            #expect(events == [.exited(.signal(9))])
        }
    }

    @Test func aMachineIsTakenUpByTheVersionThatSavedIt() async throws {
        try await StubFixture.with { fixture in
            let directory = try await save(fixture)
            let newer = try StubFixture.install("v53.0.0", in: fixture.scratch, "newer")
            var configuration = fixture.configuration
            configuration.executables = [newer]
            let without = StubFixture.makeDriver(configuration)
            let error = await #expect(throws: AgentError.self) {
                try await without.restore(fixture.machine, from: directory, session: StubFixture.session)
            }
            #expect(error?.code == "snapshot_version_mismatch")
            #expect(error?.message.contains("52.0.0") == true)

            configuration.executables = [newer] + fixture.configuration.executables
            let driver = StubFixture.makeDriver(configuration)
            let information = try await driver.information()
            #expect(information.version == "53.0.0" && information.otherVersions == ["52.0.0"])
            let machine = try await driver.restore(fixture.machine, from: directory, session: StubFixture.session)
            #expect(machine.record.version == "52.0.0")
            await machine.kill()
            _ = try await observe(machine)
            let fresh = try await driver.start(fixture.machine, session: StubFixture.session)
            #expect(fresh.record.version == "53.0.0")
            await fresh.kill()
            _ = try await observe(fresh)
        }
    }

    @Test func aRefusedSnapshotSaysWhyAndTheMachineGoesOn() async throws {
        let refusal = Plan.Fault.Kind.answer(status: 500, body: #"["Error from API","No space left on device"]"#)
        try await StubFixture.with({ $0.faults = [.init("vm.snapshot", refusal, times: 1)] }) { fixture in
            let machine = try await fixture.start()
            try await machine.pause()
            let directory = SnapshotDirectory(path: try fixture.scratch.directory("saved"))
            let error = await #expect(throws: AgentError.self) { try await machine.snapshot(to: directory) }
            #expect(error?.kind == .storageFull)
            try await machine.resume()
            await machine.kill()
        }
    }

    @Test func aSnapshotWaitsForAMemoryThatIsStillBeingRead() async throws {
        let refusal = Plan.Fault.Kind.answer(status: 500, body: #"["Error from API","VM is restoring"]"#)
        try await StubFixture.with({ $0.faults = [.init("vm.snapshot", refusal, times: 3)] }) { fixture in
            _ = try await save(fixture)
            let actions = try fixture.requests().map(\.action)
            #expect(actions.filter { $0 == "vm.snapshot" }.count == 4)
        }
    }

    @Test func aKernelThatForbidsUserFaultsGetsAnEagerRestore() async throws {
        let refusal = Plan.Fault.Kind.answer(
            status: 500,
            body: #"["Error from API","On-demand restore failed","Failed to create userfaultfd"]"#
        )
        try await StubFixture.with({ $0.faults = [.init("vm.restore", refusal, times: 1)] }) { fixture in
            let directory = try await save(fixture)
            let lazy = try await fixture.driver.information().capabilities.lazyRestore
            let restore = Task {
                try await fixture.driver.restore(fixture.machine, from: directory, session: StubFixture.session)
            }
            let machine = try? await restore.value
            // Without user faults there is nothing to fall back from, and the fault is an ordinary refusal.
            #expect((machine != nil) == lazy)
            await machine?.kill()
            let modes = try fixture.requests().filter { $0.action == "vm.restore" }.map { $0.body.contains("OnDemand") }
            #expect(modes == (lazy ? [true, false] : [false]))
        }
    }

    @Test func aMachineOfOtherDisksIsNotTakenUp() async throws {
        try await StubFixture.with { fixture in
            var fixture = fixture
            let directory = try await save(fixture)
            fixture.machine.disks.removeLast()
            let error = await #expect(throws: AgentError.self) {
                try await fixture.driver.restore(fixture.machine, from: directory, session: StubFixture.session)
            }
            #expect(error?.code == "snapshot_unreadable")
            // The log is that of the machine that was saved.
            #expect(try fixture.runtimeFiles() == ["vmm.log"])
        }
    }
}

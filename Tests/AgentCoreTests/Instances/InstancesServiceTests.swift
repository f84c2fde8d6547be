import AgentCore
import AgentTestSupport
import Foundation
import GuestProtocol
import Testing

@Suite struct InstancesServiceTests {
    // MARK: An ordinary life

    @Test func createBootsAndTheProgramRuns() async throws {
        try await AgentWorld.with { world in
            let instance = try await world.make("web")
            #expect(instance.state == .running)
            #expect(instance.hypervisor == .qemu)
            #expect(instance.startedAt != nil)
            #expect(Set(instance.phases.keys) == Set(StartPhase.allCases))
            let description = try #require(world.host.description(of: instance.id))
            #expect(description.disks.map(\.serial) == ["rootfs", "overlay", "config"])
            #expect(description.disks.map(\.readOnly) == [true, false, true])
            #expect(world.disks.overlaySize(of: instance.id) == .gibibytes(10))
            let stored = try await world.store.load()
            #expect(stored.instances == [instance], "what a reader sees is what is stored")
            #expect(stored.resources.map(\.kind) == [.machine, .disks, .network])
            #expect(stored.operations.isEmpty)
        }
    }

    @Test func theGuestIsToldWhatToRun() async throws {
        try await AgentWorld.with { world in
            var request = try world.request("web")
            request.environment = ["B": "instance", "C": "x"]
            request.command = ["--port", "90"]
            request.workingDirectory = "/srv"
            request.user = "www"
            let instance = try await world.instances.create(request)
            let bytes = try #require(world.disks.configuration(of: instance.id))
            let guest = try JSONDecoder().decode(GuestConfiguration.self, from: Data(bytes))
            #expect(guest.program.arguments == ["/bin/server", "--port", "90"])
            #expect(guest.program.environment == ["A=image", "B=instance", "C=x"])
            #expect(guest.program.workingDirectory == "/srv")
            #expect(guest.program.user == "www")
            #expect(guest.hostname == "web")
            #expect(guest.mode == .exec)
            #expect(guest.session == instance.machine?.session && guest.session.count == 32)
        }
    }

    @Test func aReplacedEntrypointTakesTheImagesCommandWithIt() async throws {
        try await AgentWorld.with { world in
            var request = try world.request("web")
            request.entrypoint = ["/lib/systemd/systemd"]
            let instance = try await world.instances.create(request)
            let bytes = try #require(world.disks.configuration(of: instance.id))
            let guest = try JSONDecoder().decode(GuestConfiguration.self, from: Data(bytes))
            #expect(guest.program.arguments == ["/lib/systemd/systemd"])
            #expect(guest.mode == .systemd)
        }
    }

    @Test func theProgramsExitIsKeptAndItsOutputIsWhole() async throws {
        try await AgentWorld.with(behaviour: .runs(output: "hello\nworld\n", exit: 3)) { world in
            let instance = try await world.make("job", in: .stopped)
            #expect(instance.exit?.code == 3)
            #expect(instance.exit?.reason == .exited)
            #expect(instance.stoppedAt != nil)
            #expect(world.logs.text(of: instance.id) == "hello\nworld")
            #expect(world.host.running.isEmpty)
            #expect(try await world.store.load().resources.map(\.kind) == [.disks], "the disks stay")
        }
    }

    @Test func stopThenStartBootsAgainOnTheSameOverlay() async throws {
        try await AgentWorld.with { world in
            let first = try await world.make("web")
            let stopped = try await world.instances.stop("web")
            #expect(stopped.state == .stopped)
            #expect(stopped.exit?.reason == .stopped)
            #expect(
                try await world.instances.stop("web").revision == stopped.revision,
                "stopping twice changes nothing"
            )
            let again = try await world.instances.start("web", StartInstanceRequest(command: ["--debug"]))
            let running = try await world.wait(again.id, for: .running)
            #expect(running.boots == 2)
            #expect(running.machine?.session != first.machine?.session)
            #expect(running.specification.command == ["--debug"])
            let error = await #expect(throws: AgentError.self) { try await world.instances.start("web") }
            #expect(error?.kind == .invalidState)
        }
    }

    @Test func aProgramThatIgnoresItsStopSignalIsKilledAndThatIsSaid() async throws {
        var behaviour = GuestBehaviour()
        behaviour.exitOnSignal = nil
        try await AgentWorld.with(behaviour: behaviour) { world in
            let instance = try await world.make("deaf")
            let request = StopInstanceRequest(signalDeadline: .milliseconds(30), powerButtonDeadline: .milliseconds(30))
            // The double ignores the kill of the program too, so it is the VMM that goes in the end; the guest's ten
            // seconds for writing its disks back are skipped by ending it from outside.
            let stop = Task { [instances = world.instances] in try await instances.stop("deaf", request) }
            for await change in world.directory.changes(of: instance.id) where change.desired == .stopped { break }
            while world.host.calls.filter({ $0.call == .signalProgram }).count < 2 { await Task.yield() }
            world.host.killVMM(of: instance.id)
            let stopped = try await stop.value
            #expect(stopped.exit?.reason == .killed)
            #expect(stopped.exit?.message?.contains("0.03 seconds") == true)
        }
    }

    // MARK: Delete

    @Test func deleteLeavesNothing() async throws {
        try await AgentWorld.with { world in
            let instance = try await world.make("web")
            try await world.instances.delete("web")
            #expect(world.host.running.isEmpty)
            #expect(world.disks.overlaySize(of: instance.id) == nil)
            let stored = try await world.store.load()
            #expect(stored.instances.isEmpty && stored.resources.isEmpty && stored.operations.isEmpty)
            #expect(try await world.store.events(after: 0, limit: 100).last?.event.kind == .instanceDeleted)
            #expect(throws: AgentError.self) { try world.instances.get("web") }
            _ = try await world.make("web")
        }
    }

    @Test func deleteOvertakesAStartThatHangs() async throws {
        try await AgentWorld.with { world in
            world.host.hang(.start)
            let create = Task { [world] in try await world.instances.create(try world.request("web")) }
            while world.instances.list().isEmpty { await Task.yield() }
            while !world.host.calls.contains(where: { $0.call == .start }) { await Task.yield() }
            try await world.instances.delete("web")
            let error = await #expect(throws: AgentError.self) { try await create.value }
            #expect(error?.kind == .cancelled)
            #expect(world.instances.list().isEmpty)
            #expect(try await world.store.load().resources.isEmpty)
        }
    }

    @Test func deleteNeedsNoGuest() async throws {
        try await AgentWorld.with(behaviour: .silent) { world in
            let instance = try await world.instances.create(try world.request("mute"))
            #expect(instance.state == .initializing)
            try await world.instances.delete("mute")
            #expect(world.instances.list().isEmpty && world.host.running.isEmpty)
        }
    }

    @Test func twoDeletesAtOnceBothEnd() async throws {
        try await AgentWorld.with { world in
            _ = try await world.make("web")
            let instances = world.instances
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<2 {
                    group.addTask {
                        do { try await instances.delete("web") } catch {
                            #expect(
                                (error as? AgentError)?.kind == .notFound || (error as? AgentError)?.kind == .cancelled
                            )
                        }
                    }
                }
            }
            #expect(world.instances.list().isEmpty)
        }
    }

    // MARK: Failures

    @Test(arguments: [HypervisorCall.start, .information])
    func aCreateThatFailsLeavesNothing(_ call: HypervisorCall) async throws {
        try await AgentWorld.with { world in
            world.host.fail(call, with: AgentError(.unavailable, "no room"))
            let error = await #expect(throws: AgentError.self) {
                try await world.instances.create(try world.request("web"))
            }
            #expect(error?.description.contains("no room") == true)
            #expect(world.instances.list().isEmpty)
            let stored = try await world.store.load()
            #expect(stored.instances.isEmpty && stored.resources.isEmpty)
            _ = try await world.make("web")
        }
    }

    @Test func aFullDiskFailsTheCreateCleanly() async throws {
        try await AgentWorld.with { world in
            let full = AgentError(.storageFull, "the disk is full")
            world.store.failCommits(with: full)
            let error = await #expect(throws: AgentError.self) {
                try await world.instances.create(try world.request("web"))
            }
            #expect(error?.kind == .storageFull)
            world.store.failCommits(with: nil)
            #expect(world.instances.list().isEmpty)
            _ = try await world.make("web")
        }
    }

    @Test func aStartThatFailsLeavesTheInstanceStopped() async throws {
        try await AgentWorld.with { world in
            let instance = try await world.make("web")
            _ = try await world.instances.stop("web")
            world.host.fail(.start, with: AgentError(.unavailable, "no room"))
            await #expect(throws: AgentError.self) { try await world.instances.start("web") }
            let stopped = try world.instances.get("web")
            #expect(stopped.state == .stopped)
            #expect(stopped.exit?.reason == .startFailed)
            #expect(stopped.stateError?.contains("no room") == true)
            #expect(world.disks.overlaySize(of: instance.id) != nil, "its disk is still there")
            _ = try await world.instances.start("web")
        }
    }

    @Test func aVMMThatDiesStopsTheInstanceWithAReason() async throws {
        try await AgentWorld.with { world in
            let instance = try await world.make("web")
            world.host.killVMM(of: instance.id, exit: .signal(9))
            let stopped = try await world.wait(instance.id, for: .stopped)
            #expect(stopped.exit?.reason == .machineDied)
            #expect(stopped.stateError?.contains("signal 9") == true)
            _ = try await world.instances.start("web")
        }
    }

    @Test func aGuestThatPanicsIsNamed() async throws {
        try await AgentWorld.with { world in
            let instance = try await world.make("web")
            world.host.writeConsole("Kernel panic - not syncing\n", of: instance.id)
            world.host.panic(instance.id)
            let stopped = try await world.wait(instance.id, for: .stopped)
            #expect(stopped.exit?.message?.contains("panicked") == true)
            #expect(world.logs.text(of: instance.id, source: .console).contains("not syncing"))
        }
    }

    @Test func aGuestThatNeverAnswersIsGivenUp() async throws {
        try await AgentWorld.with(behaviour: .silent, bootTimeout: .milliseconds(50)) { world in
            let instance = try await world.instances.create(try world.request("mute"))
            let stopped = try await world.wait(instance.id, for: .stopped)
            #expect(stopped.exit?.reason == .startFailed)
            #expect(stopped.stateError?.contains("0.05 seconds") == true)
            #expect(world.host.running.isEmpty)
        }
    }

    @Test func aProgramThatIsNotThereIs127() async throws {
        var behaviour = GuestBehaviour()
        behaviour.startsProgram = false
        behaviour.exit = GuestExit(code: 127, message: "/bin/server is not in the image")
        try await AgentWorld.with(behaviour: behaviour) { world in
            let instance = try await world.make("web", in: .stopped)
            #expect(instance.exit?.code == 127)
            #expect(instance.stateError == "/bin/server is not in the image")
        }
    }

    @Test func outputSurvivesALostChannelOnceAndInOrder() async throws {
        try await AgentWorld.with { world in
            let instance = try await world.make("web")
            for number in 0..<20 {
                world.host.writeOutput("line \(number)\n", of: instance.id)
                if number % 5 == 0 { world.host.dropChannel(of: instance.id) }
            }
            world.host.exitProgram(of: instance.id, GuestExit(code: 0))
            _ = try await world.wait(instance.id, for: .stopped)
            #expect(world.logs.text(of: instance.id) == (0..<20).map { "line \($0)" }.joined(separator: "\n"))
        }
    }

    @Test func aFullDiskHoldsTheOutputBackInsteadOfLosingIt() async throws {
        try await AgentWorld.with { world in
            let instance = try await world.make("web")
            world.logs.failAppends(with: AgentError(.storageFull, "the disk is full"))
            world.host.writeOutput("precious\n", of: instance.id)
            for await change in world.directory.changes(of: instance.id) where change.stateError != nil { break }
            world.logs.failAppends(with: nil)
            for await change in world.directory.changes(of: instance.id) where change.stateError == nil { break }
            #expect(world.logs.text(of: instance.id) == "precious")
            #expect(try world.instances.get("web").state == .running)
        }
    }

    @Test func aMachineWhoseDiskCannotGrowSaysSoAndGoesOnByItself() async throws {
        try await AgentWorld.with { world in
            let instance = try await world.make("web")
            world.host.fail(.resume, with: AgentError(.unavailable, "not now"))
            world.host.runOutOfSpace(instance.id)
            for await change in world.directory.changes(of: instance.id) where change.stateError != nil {
                #expect(change.state == .paused)
                #expect(change.stateError?.contains("disk is full") == true)
                break
            }
            for await change in world.directory.changes(of: instance.id) where change.stateError == nil {
                #expect(change.state == .running)
                break
            }
            #expect(!world.host.isPaused(instance.id))
        }
    }

    // MARK: Commands in it

    @Test func execRunsInARunningInstanceAlone() async throws {
        try await AgentWorld.with { world in
            _ = try await world.make("web")
            let request = ExecRequest(program: GuestProgram(arguments: ["echo", "hi"], environment: []))
            let process = try await world.instances.exec("web", request, patience: .zero)
            var events: [GuestProcessEvent] = []
            for try await event in process.events { events.append(event) }
            #expect(events == [.output(.stdout, Array("echo hi\n".utf8)), .exited(GuestExit(code: 0))])
            _ = try await world.instances.stop("web")
            let error = await #expect(throws: AgentError.self) {
                _ = try await world.instances.exec("web", request, patience: .zero)
            }
            #expect(error?.kind == .invalidState)
            #expect(error?.message.contains("Stopped") == true)
        }
    }

    @Test func execWaitsForAnInstanceThatBoots() async throws {
        try await AgentWorld.with(behaviour: .silent) { world in
            let instance = try await world.instances.create(try world.request("web"))
            let request = ExecRequest(program: GuestProgram(arguments: ["true"], environment: []))
            let exec = Task { [instances = world.instances] in
                try await instances.exec("web", request, patience: .seconds(10))
            }
            world.host.letGuestAnswer(instance.id)
            _ = try await exec.value
        }
    }

    @Test func execWaitsForTheNextConnectionWithTheGuest() async throws {
        try await AgentWorld.with { world in
            let instance = try await world.make("web")
            let request = ExecRequest(program: GuestProgram(arguments: ["true"], environment: []))
            let attempts = { [host = world.host] in host.calls.filter { $0.call == .openGuestChannel }.count }
            let before = attempts()
            world.host.fail(.openGuestChannel, with: AgentError(.unavailable, "not yet"), times: 2)
            world.host.dropChannel(of: instance.id)
            while attempts() == before { try await Task.sleep(for: .milliseconds(1)) }
            _ = try await world.instances.exec("web", request, patience: .seconds(60))
        }
    }

    @Test func execDoesNotWaitLongerThanItIsToldNorForAGuestThatIsGone() async throws {
        try await AgentWorld.with { world in
            let instance = try await world.make("web")
            let request = ExecRequest(program: GuestProgram(arguments: ["true"], environment: []))
            world.host.hang(.openGuestChannel)
            world.host.dropChannel(of: instance.id)
            while world.host.hanging == 0 { try await Task.sleep(for: .milliseconds(1)) }
            let late = await #expect(throws: AgentError.self) {
                try await world.instances.exec("web", request, patience: .milliseconds(1))
            }
            #expect(late?.kind == .unavailable)
            async let exec = world.instances.exec("web", request, patience: .seconds(600))
            world.host.killVMM(of: instance.id)
            do {
                _ = try await exec
                Issue.record("a command ran in a machine that is gone")
            } catch let error as AgentError {
                #expect(error.kind == .invalidState)
            }
        }
    }

    // MARK: Names

    @Test func anInstanceIsFoundByIdNameAndUniquePrefix() async throws {
        try await AgentWorld.with { world in
            let instance = try await world.make("web")
            #expect(try world.instances.get(instance.id.rawValue).id == instance.id)
            #expect(try world.instances.get("web").id == instance.id)
            #expect(try world.instances.get(String(instance.id.rawValue.prefix(8))).id == instance.id)
            var clash: Character?
            for number in 0..<60 where clash == nil {
                let other = try await world.instances.create(try world.request("n\(number)"))
                if other.id.rawValue.first == instance.id.rawValue.first { clash = other.id.rawValue.first }
            }
            if let clash {
                let error = #expect(throws: AgentError.self) { try world.instances.get(String(clash)) }
                #expect(error?.kind == .ambiguous)
            }
            #expect(throws: AgentError.self) { try world.instances.get("") }
        }
    }

    @Test func aTakenNameIsRefusedAndTheHolderNamed() async throws {
        try await AgentWorld.with { world in
            let instance = try await world.make("web")
            let error = await #expect(throws: AgentError.self) {
                try await world.instances.create(try world.request("web"))
            }
            #expect(error?.kind == .alreadyExists && error?.code == "name_conflict")
            #expect(error?.message.contains(instance.id.rawValue) == true)
        }
    }

    @Test func ofManyCreatesWithOneNameOneSucceeds() async throws {
        try await AgentWorld.with { world in
            let request = try world.request("web")
            let instances = world.instances
            let made = await withTaskGroup(of: Bool.self) { group in
                for _ in 0..<20 {
                    group.addTask { do { _ = try await instances.create(request); return true } catch { return false } }
                }
                return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
            }
            #expect(made == 1)
            #expect(world.host.running.count == 1)
        }
    }
}

import AgentCore
import AgentTestSupport
import GuestProtocol
import Testing

@Suite struct StandbyTests {
    private static let broken = AgentError(.unavailable, code: "injected", "it was told to fail")

    // MARK: Standby and restore

    @Test func memoryGoesToDiskAndComesBack() async throws {
        try await AgentWorld.with { world in
            let before = try await world.make("web")
            world.host.writeOutput("one\n", of: before.id)
            let standby = try await world.instances.standby("web")
            #expect(standby.state == .standby && standby.desired == .standby && standby.machine == nil)
            #expect(standby.exit == nil && standby.stateError == nil)
            #expect(world.host.running.isEmpty)
            #expect(world.network.attached.isEmpty, "no device is left")
            #expect(standby.attachment == before.attachment, "the address is its own")
            #expect(world.snapshots.all == [try #require(standby.standby).snapshot])
            #expect(try await world.store.load().resources.map(\.kind) == [.disks])
            #expect(try await world.instances.standby("web").revision == standby.revision, "twice is once")

            let after = try await world.instances.restore("web")
            #expect(after.state == .running && after.standby == nil && after.boots == before.boots)
            #expect(after.machine?.session == before.machine?.session)
            #expect(after.machine?.process != before.machine?.process)
            #expect(world.snapshots.all.isEmpty, "what was taken up is of no use any more")
            let news = try #require(world.host.wakeUps(of: before.id).last)
            #expect(news.entropy.count == 64 && Set(news.entropy).count > 16)
            world.host.writeOutput("two\n", of: before.id)
            world.host.exitProgram(of: before.id, GuestExit(code: 4))
            let stopped = try await world.wait(before.id, for: .stopped)
            #expect(stopped.exit?.code == 4)
            #expect(world.logs.text(of: before.id) == "one\ntwo")
        }
    }

    @Test func aStopInStandbyGivesTheMemoryUp() async throws {
        try await AgentWorld.with { world in
            _ = try await world.make("web")
            _ = try await world.instances.standby("web")
            let stopped = try await world.instances.stop("web")
            #expect(stopped.state == .stopped && stopped.standby == nil && stopped.exit?.reason == .stopped)
            #expect(world.snapshots.all.isEmpty)
            let again = try await world.instances.start("web")
            #expect(try await world.wait(again.id, for: .running).boots == 2)
        }
    }

    @Test func aDeleteInStandbyLeavesNothing() async throws {
        try await AgentWorld.with { world in
            _ = try await world.make("web")
            _ = try await world.instances.standby("web")
            try await world.instances.delete("web")
            #expect(world.snapshots.all.isEmpty && world.instances.list().isEmpty)
            #expect(try await world.store.load().resources.isEmpty)
        }
    }

    // MARK: Failures

    enum Step: CaseIterable { case pause, begin, snapshot, commit, fingerprint }

    @Test(arguments: Step.allCases) func aStandbyThatFailsLeavesTheInstanceRunning(_ step: Step) async throws {
        try await AgentWorld.with { world in
            let before = try await world.make("web")
            try await world.awaitChannel(before)
            switch step {
            case .pause: world.host.fail(.pause, with: Self.broken)
            case .begin: world.snapshots.fail(.begin, with: Self.broken)
            case .snapshot: world.host.fail(.snapshot, with: Self.broken)
            case .commit: world.snapshots.fail(.commit, with: Self.broken)
            case .fingerprint: world.disks.loseOverlay(of: before.id)
            }
            let error = await #expect(throws: AgentError.self) { try await world.instances.standby("web") }
            #expect(error?.code == (step == .fingerprint ? "disk_missing" : "injected"))
            let after = try world.instances.get("web")
            #expect(after.state == .running && after.machine == before.machine && after.standby == nil)
            #expect(!world.host.isPaused(before.id))
            #expect(world.snapshots.all.isEmpty)
        }
    }

    @Test func aStandbyThatFailsLeavesAPausedInstancePaused() async throws {
        try await AgentWorld.with { world in
            let instance = try await world.make("web")
            _ = try await world.instances.pause("web")
            world.host.fail(.snapshot, with: Self.broken)
            await #expect(throws: AgentError.self) { try await world.instances.standby("web") }
            #expect(try world.instances.get("web").state == .paused)
            #expect(world.host.isPaused(instance.id))
            #expect(try await world.instances.standby("web").state == .standby)
        }
    }

    enum Obstacle: CaseIterable { case manifest, verify, network, restore, resume }

    @Test(arguments: Obstacle.allCases) func aRestoreThatFailsLeavesItInStandby(_ obstacle: Obstacle) async throws {
        try await AgentWorld.with { world in
            let before = try await world.make("web")
            _ = try await world.instances.standby("web")
            switch obstacle {
            case .manifest: world.snapshots.fail(.manifest, with: Self.broken)
            case .verify: world.snapshots.fail(.verify, with: Self.broken)
            case .network: world.network.fail(.attach, with: Self.broken)
            case .restore: world.host.fail(.restore, with: Self.broken)
            case .resume: world.host.fail(.resume, with: Self.broken)
            }
            let error = await #expect(throws: AgentError.self) { try await world.instances.restore("web") }
            #expect(error?.code == "injected")
            let standby = try world.instances.get("web")
            #expect(standby.state == .standby && standby.desired == .standby && standby.machine == nil)
            #expect(world.host.running.isEmpty && world.network.attached.isEmpty)
            #expect(try await world.store.load().resources.map(\.kind) == [.disks])
            let after = try await world.instances.restore("web")
            #expect(after.state == .running && after.stateError == nil && after.boots == before.boots)
        }
    }

    @Test func aRestoreThatDoesNotFitIsRefusedWithTheReason() async throws {
        try await AgentWorld.with { world in
            let instance = try await world.make("web")
            let snapshot = try #require(try await world.instances.standby("web").standby).snapshot
            let changes: [(String, String, @Sendable (inout SnapshotManifest) -> Void)] = [
                ("snapshot_version_mismatch", "0.9.9", { $0.memory?.version = "0.9.9" }),
                ("snapshot_version_mismatch", "kvm", { $0.memory?.accelerator = .kvm }),
                ("snapshot_disk_mismatch", "disk", { $0.overlay.modifiedNanoseconds += 1 }),
                ("snapshot_corrupt", "state", { $0.files[0].size += 1 }),
                ("snapshot_missing", "other", { $0.files[0].name = "other" }),
            ]
            for (code, words, change) in changes {
                let whole = try await world.snapshots.manifest(of: snapshot)
                world.snapshots.change(snapshot, change)
                let error = await #expect(throws: AgentError.self) { try await world.instances.restore("web") }
                #expect(error?.code == code)
                #expect(error?.description.contains(words) == true, "\(error?.description ?? "")")
                #expect(try world.instances.get("web").state == .standby)
                #expect(world.snapshots.all == [snapshot], "it is untouched")
                world.snapshots.change(snapshot) { $0 = whole }
            }
            #expect(try await world.instances.restore("web").state == .running)
            _ = try await world.instances.standby("web")
            world.disks.write(to: instance.id)
            let error = await #expect(throws: AgentError.self) { try await world.instances.restore("web") }
            #expect(error?.code == "snapshot_disk_mismatch")
            try await world.instances.delete("web")
        }
    }

    @Test func anAddressThatIsNotInTheSubnetAnyMoreIsSaid() async throws {
        try await AgentWorld.with { world in
            let address = try #require(try await world.make("web").attachment).address
            _ = try await world.instances.standby("web")
            try await world.restart(subnet: "10.200.0.0/16")
            let error = await #expect(throws: AgentError.self) { try await world.instances.restore("web") }
            #expect(error?.code == "network_changed")
            #expect(error?.message.contains(address.description) == true)
            try await world.restart()
            #expect(try await world.instances.restore("web").state == .running)
        }
    }

    // MARK: Crashes

    @Test func anAgentThatDiesWhileMemoryIsSavedFindsTheInstanceRunning() async throws {
        try await AgentWorld.with { world in
            let instance = try await world.make("web")
            world.host.hang(.snapshot)
            let standby = Task { [instances = world.instances] in try await instances.standby("web") }
            while world.host.hanging == 0 { await Task.yield() }
            try await world.restart()
            _ = await standby.result
            #expect(try await world.wait(instance.id, for: .running).machine == instance.machine)
            #expect(!world.host.isPaused(instance.id))
            #expect(world.snapshots.all.isEmpty)
        }
    }

    @Test func standbyOutlivesTheAgentAndTheHost() async throws {
        try await AgentWorld.with { world in
            _ = try await world.make("web")
            let standby = try await world.instances.standby("web")
            try await world.restart()
            #expect(try world.instances.get("web").standby == standby.standby)
            try await world.restart(rebootingHost: true)
            #expect(try world.instances.get("web").state == .standby)
            #expect(try await world.instances.restore("web").state == .running)
        }
    }

    @Test(arguments: [HypervisorCall.restore, .resume])
    func anAgentThatDiesDuringARestoreLosesNothing(_ call: HypervisorCall) async throws {
        try await AgentWorld.with { world in
            let before = try await world.make("web")
            _ = try await world.instances.standby("web")
            world.host.hang(call)
            let restore = Task { [instances = world.instances] in try await instances.restore("web") }
            while world.host.hanging == 0 { await Task.yield() }
            try await world.restart()
            _ = await restore.result
            var after = try world.instances.get("web")
            if after.state == .standby { after = try await world.instances.restore("web") }
            after = try await world.wait(after.id, for: .running)
            #expect(after.boots == before.boots && after.standby == nil)
            #expect(!world.host.isPaused(before.id))
            #expect(world.snapshots.all.isEmpty)
        }
    }

    @Test(arguments: [false, true])
    func aVMMThatDiesAsItIsResumedLosesTheMemoryOnlyIfItRan(_ ran: Bool) async throws {
        try await AgentWorld.with { world in
            let instance = try await world.make("web")
            _ = try await world.instances.standby("web")
            world.host.hang(.resume)
            let restore = Task { [instances = world.instances] in try await instances.restore("web") }
            while world.host.hanging == 0 { await Task.yield() }
            let (host, disks) = (world.host, world.disks)
            try await world.restart {
                if ran { disks.write(to: instance.id) }
                host.killVMM(of: instance.id)
            }
            _ = await restore.result
            let after = try world.instances.get("web")
            #expect(after.state == (ran ? .stopped : .standby))
            #expect(after.exit?.reason == (ran ? .machineDied : nil))
            #expect(world.snapshots.all.isEmpty == ran)
        }
    }
}

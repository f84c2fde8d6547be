import AgentCore
import AgentTestSupport
import GuestProtocol
import Testing

@Suite struct SnapshotTests {
    private static let broken = AgentError(.unavailable, code: "injected", "it was told to fail")

    @Test func anInstanceThatRunsIsKeptAndGoesOn() async throws {
        try await AgentWorld.with { world in
            let before = try await world.make("web")
            let request = CreateSnapshotRequest(kind: .standby, name: try InstanceName("first"), tags: ["a": "b"])
            let snapshot = try await world.instances.createSnapshot("web", request)
            #expect(snapshot.instance == before.id && snapshot.hypervisor == .qemu && snapshot.size.bytes > 0)
            let after = try world.instances.get("web")
            #expect(after.state == .running && after.machine == before.machine && after.desired == .running)
            #expect(!world.host.isPaused(before.id))
            let files = try await world.snapshots.manifest(of: snapshot.id).files.map(\.name)
            #expect(files == ["overlay", "state"])
            #expect(world.instances.snapshots() == [snapshot])
            #expect(try await world.store.load().snapshots == [snapshot])
            for reference in ["first", snapshot.id.rawValue, String(snapshot.id.rawValue.prefix(9))] {
                #expect(try world.instances.snapshot(reference) == snapshot)
            }
            let error = await #expect(throws: AgentError.self) {
                try await world.instances.createSnapshot("web", request)
            }
            #expect(error?.code == "name_conflict")
            try await world.instances.deleteSnapshot("first")
            #expect(world.instances.snapshots().isEmpty && world.snapshots.all.isEmpty)
            _ = try await world.instances.createSnapshot("web", request)
        }
    }

    @Test func memoryAndDiskComeBackAsOftenAsTheyAreWanted() async throws {
        try await AgentWorld.with { world in
            let id = try await world.make("web").id
            world.host.writeOutput("one\n", of: id)
            while world.logs.text(of: id) != "one" { await Task.yield() }
            world.disks.write(to: id)
            let snapshot = try await world.instances.createSnapshot("web", CreateSnapshotRequest(kind: .standby))
            for round in 1...2 {
                world.disks.write(to: id)
                world.host.writeOutput("lost\n", of: id)
                _ = try await world.instances.stop("web")
                let back = try await world.instances.restoreSnapshot("web", snapshot.id.rawValue, to: .running)
                #expect(back.state == .running && back.exit == nil && back.standby == nil)
                #expect(world.disks.origin(of: id) == 1, "the disk is that of the snapshot")
                #expect(world.host.wakeUps(of: id).last?.entropy.count == 64)
                world.host.writeOutput("back \(round)\n", of: id)
                while !world.logs.text(of: id).contains("back \(round)") { await Task.yield() }
            }
            #expect(world.logs.text(of: id).hasPrefix("one\nlost\nback 1"))
            #expect(world.snapshots.all == [snapshot.id])
        }
    }

    @Test func whatLiesInStandbyIsKeptWithoutAMachine() async throws {
        try await AgentWorld.with { world in
            let id = try await world.make("web").id
            _ = try await world.instances.standby("web")
            let snapshot = try await world.instances.createSnapshot("web", CreateSnapshotRequest(kind: .standby))
            #expect(try world.instances.get("web").state == .standby)
            _ = try await world.instances.restore("web")
            _ = try await world.instances.standby("web")
            let back = try await world.instances.restoreSnapshot("web", snapshot.id.rawValue, to: nil)
            #expect(back.state == .standby && back.desired == .standby)
            #expect(world.snapshots.all.count == 2, "what was saved before is gone")
            #expect(try await world.instances.restore("web").state == .running)
            #expect(world.host.running == [id])
        }
    }

    @Test func aDiskAloneComesBackStopped() async throws {
        try await AgentWorld.with { world in
            let id = try await world.make("web").id
            _ = try await world.instances.stop("web")
            let snapshot = try await world.instances.createSnapshot("web", CreateSnapshotRequest(kind: .stopped))
            #expect(snapshot.hypervisor == nil)
            let back = try await world.instances.restoreSnapshot("web", snapshot.id.rawValue, to: nil)
            #expect(back.state == .stopped && world.disks.origin(of: id) == 0)
            let started = try await world.instances.restoreSnapshot("web", snapshot.id.rawValue, to: .running)
            #expect(try await world.wait(started.id, for: .running).boots == 2)
        }
    }

    @Test func whatDoesNotFitIsRefusedAndChangesNothing() async throws {
        try await AgentWorld.with { world in
            _ = try await world.make("web")
            _ = try await world.make("other")
            let kept = try await world.instances.createSnapshot("web", CreateSnapshotRequest(kind: .standby))
            let id = kept.id.rawValue
            func refusal(_ body: () async throws -> Void) async throws -> String {
                let error = await #expect(throws: AgentError.self) { try await body() }
                return error?.code ?? ""
            }
            let stopped = CreateSnapshotRequest(kind: .stopped)
            #expect(
                try await refusal { _ = try await world.instances.createSnapshot("web", stopped) } == "invalid_state"
            )
            #expect(
                try await refusal { _ = try await world.instances.restoreSnapshot("web", id, to: nil) }
                    == "invalid_state"
            )
            #expect(
                try await refusal { _ = try await world.instances.restoreSnapshot("web", "nope", to: nil) }
                    == "not_found"
            )
            _ = try await world.instances.stop("other")
            #expect(
                try await refusal { _ = try await world.instances.restoreSnapshot("other", id, to: nil) }
                    == "snapshot_of_another_instance"
            )
            _ = try await world.instances.stop("web")
            let standby = CreateSnapshotRequest(kind: .standby)
            #expect(
                try await refusal { _ = try await world.instances.createSnapshot("web", standby) } == "invalid_state"
            )
            #expect(
                try await refusal { _ = try await world.instances.restoreSnapshot("web", id, to: .stopped) }
                    == "invalid_target_state"
            )
            world.snapshots.change(kept.id) { $0.files[0].size += 1 }
            #expect(
                try await refusal { _ = try await world.instances.restoreSnapshot("web", id, to: nil) }
                    == "snapshot_corrupt"
            )
            #expect(try world.instances.get("web").state == .stopped)
            #expect(world.snapshots.all == [kept.id] && world.instances.snapshots() == [kept])
        }
    }

    enum Step: CaseIterable { case pause, begin, snapshot, disk, commit, store }

    @Test(arguments: Step.allCases) func aSnapshotThatFailsLeavesNothing(_ step: Step) async throws {
        try await AgentWorld.with { world in
            let before = try await world.make("web")
            try await world.awaitChannel(before)
            switch step {
            case .pause: world.host.fail(.pause, with: Self.broken)
            case .begin: world.snapshots.fail(.begin, with: Self.broken)
            case .snapshot: world.host.fail(.snapshot, with: Self.broken)
            case .disk: world.disks.failWrites(with: Self.broken)
            case .commit: world.snapshots.fail(.commit, with: Self.broken)
            case .store: _ = try await world.instances.createSnapshot("web", try Self.named("x"))
            }
            // A name that is taken is refused by the catalog; here it is the store that has it.
            let request = step == .store ? try Self.named("x") : CreateSnapshotRequest(kind: .standby)
            let kept = world.snapshots.all
            let error = await #expect(throws: AgentError.self) {
                try await world.instances.createSnapshot("web", request)
            }
            #expect(error?.code == (step == .store ? "name_conflict" : "injected"))
            let after = try world.instances.get("web")
            #expect(after.state == .running && after.machine == before.machine)
            #expect(!world.host.isPaused(before.id))
            #expect(world.snapshots.all == kept)
            world.disks.failWrites(with: nil)
            _ = try await world.instances.createSnapshot("web", CreateSnapshotRequest(kind: .standby))
        }
    }

    private static func named(_ name: String) throws -> CreateSnapshotRequest {
        CreateSnapshotRequest(kind: .standby, name: try InstanceName(name))
    }

    @Test func aRestoreThatFailsLeavesTheInstanceStopped() async throws {
        try await AgentWorld.with { world in
            _ = try await world.make("web")
            let snapshot = try await world.instances.createSnapshot("web", CreateSnapshotRequest(kind: .standby))
            _ = try await world.instances.stop("web")
            world.disks.failWrites(with: Self.broken)
            let error = await #expect(throws: AgentError.self) {
                try await world.instances.restoreSnapshot("web", snapshot.id.rawValue, to: .running)
            }
            #expect(error?.code == "injected")
            #expect(try world.instances.get("web").state == .stopped)
            #expect(world.snapshots.all == [snapshot.id])
            world.disks.failWrites(with: nil)
            world.host.fail(.restore, with: Self.broken)
            await #expect(throws: AgentError.self) {
                try await world.instances.restoreSnapshot("web", snapshot.id.rawValue, to: .running)
            }
            #expect(try world.instances.get("web").state == .standby, "the snapshot is in place and can be restored")
            #expect(try await world.instances.restore("web").state == .running)
        }
    }

    @Test func aRestoreThatFailsLeavesAnInstanceInStandbyItsMemory() async throws {
        try await AgentWorld.with { world in
            _ = try await world.make("web")
            let snapshot = try await world.instances.createSnapshot("web", CreateSnapshotRequest(kind: .standby))
            let before = try await world.instances.standby("web")
            world.disks.failWrites(with: Self.broken)
            await #expect(throws: AgentError.self) {
                try await world.instances.restoreSnapshot("web", snapshot.id.rawValue, to: .running)
            }
            world.disks.failWrites(with: nil)
            let after = try world.instances.get("web")
            #expect(after.state == .standby && after.standby == before.standby)
            #expect(try world.snapshots.all == [snapshot.id, #require(before.standby).snapshot])
            #expect(try await world.instances.restore("web").state == .running)
        }
    }

    @Test func snapshotsOutliveTheAgentAndTheirInstance() async throws {
        try await AgentWorld.with { world in
            _ = try await world.make("web")
            let snapshot = try await world.instances.createSnapshot("web", try Self.named("kept"))
            world.host.hang(.snapshot)
            let second = Task { [instances = world.instances] in
                try await instances.createSnapshot("web", CreateSnapshotRequest(kind: .standby))
            }
            while world.host.hanging == 0 { await Task.yield() }
            try await world.restart()
            _ = await second.result
            #expect(world.instances.snapshots() == [snapshot])
            #expect(world.snapshots.all == [snapshot.id], "what was cut off is gone")
            try await world.instances.delete("web")
            #expect(try world.instances.snapshot("kept") == snapshot)
            try await world.instances.deleteSnapshot("kept")
            #expect(world.snapshots.all.isEmpty)
        }
    }
}

import AgentCore
import AgentTestSupport
import GuestProtocol
import Testing

@Suite struct InstanceVolumesTests {
    private static let broken = AgentError(.unavailable, code: "injected", "it was told to fail")
    private static let busy = AgentError(.invalidState, "the guest refused: volume is in use by process 7 (postgres)")

    @discardableResult
    private static func volume(_ name: String, in world: AgentWorld) async throws -> Volume {
        try await world.volumes.create(CreateVolumeRequest(name: try VolumeName(name), size: .gibibytes(1)))
    }

    private static func mount(
        _ volume: String,
        _ path: String = "/data",
        readOnly: Bool = false,
        overlay: ByteSize? = nil
    ) throws -> VolumeMountRequest {
        VolumeMountRequest(volume: volume, path: try MountPath(path), readOnly: readOnly, overlaySize: overlay)
    }

    private static func run(
        _ name: String,
        _ mounts: [VolumeMountRequest],
        in world: AgentWorld
    ) async throws -> Instance {
        var request = try world.request(name)
        request.volumes = mounts
        let instance = try await world.instances.create(request)
        let running = try await world.wait(instance.id, for: .running)
        try await world.awaitChannel(running)
        return running
    }

    private static func serials(_ instance: Instance, _ world: AgentWorld) -> [String] {
        (world.host.description(of: instance.id)?.disks ?? []).map(\.serial).filter { $0.hasPrefix("vo") }
    }

    private static func users(_ volume: String, _ world: AgentWorld) throws -> [String] {
        try world.volumes.get(volume).attachments.map(\.instanceName.rawValue)
    }

    // MARK: At create

    @Test func aMachineHasItsVolumesAsDisksAndTheGuestIsTold() async throws {
        try await AgentWorld.with { world in
            let (data, seed) = (try await Self.volume("data", in: world), try await Self.volume("seed", in: world))
            let instance = try await Self.run(
                "db",
                [try Self.mount("data"), try Self.mount("seed", "/seed", readOnly: true, overlay: .gibibytes(2))],
                in: world
            )
            let mounts = instance.specification.volumes
            #expect(mounts.map(\.volume) == [data.id, seed.id])
            let disks = try #require(world.host.description(of: instance.id)).disks.dropFirst(3)
            #expect(disks.map { Optional($0.serial) } == [mounts[0].serial, mounts[1].serial, mounts[1].overlaySerial])
            #expect(disks.map(\.readOnly) == [false, true, false])
            #expect(disks.allSatisfy { $0.slot == nil })
            let bytes = try #require(world.disks.configuration(of: instance.id))
            let configuration = try GuestJSON.decode(GuestConfiguration.self, from: bytes)
            #expect(configuration.volumes?.map(\.path) == ["/data", "/seed"])
            #expect(configuration.volumes?.map(\.overlayDisk) == [nil, mounts[1].overlaySerial])
            #expect(world.volumeDisks.openings(of: seed.id) == [true])
            #expect(try Self.users("data", world) == ["db"])

            _ = try await world.instances.stop("db")
            _ = try await world.instances.start("db")
            #expect(Self.serials(instance, world).count == 3)
            let error = await #expect(throws: AgentError.self) { try await world.volumes.delete("data") }
            #expect(error?.code == "conflict" && error?.message.contains("'db'") == true)
            try await world.instances.delete("db")
            #expect(try Self.users("data", world) == [])
            try await world.volumes.delete("data")
        }
    }

    @Test func oneWritesOrManyRead() async throws {
        try await AgentWorld.with { world in
            try await Self.volume("data", in: world)
            _ = try await Self.run("first", [try Self.mount("data", readOnly: true)], in: world)
            _ = try await Self.run("second", [try Self.mount("data", readOnly: true)], in: world)
            var request = try world.request("writer")
            request.volumes = [try Self.mount("data")]
            let writer = request
            let error = await #expect(throws: AgentError.self) { try await world.instances.create(writer) }
            #expect(error?.code == "volume_in_use" && error?.message.contains("'first', 'second'") == true)
            #expect(world.instances.list().count == 2, "nothing is left of it")
            try await world.instances.delete("first")
            try await world.instances.delete("second")
            _ = try await Self.run("writer", [try Self.mount("data")], in: world)
            var reader = try world.request("reader")
            reader.volumes = [try Self.mount("data", readOnly: true)]
            let late = reader
            await #expect(throws: AgentError.self) { try await world.instances.create(late) }
        }
    }

    @Test func mountsThatMakeNoSenseAreRefused() async throws {
        try await AgentWorld.with { world in
            for name in ["a", "b"] { try await Self.volume(name, in: world) }
            for (mounts, code) in [
                ([try Self.mount("a"), try Self.mount("a", "/other")], "duplicate_volume"),
                ([try Self.mount("a"), try Self.mount("b", "/data/inner")], "invalid_mount_path"),
                ([try Self.mount("a", overlay: .gibibytes(1))], "invalid_volume_overlay"),
                ([try Self.mount("a", readOnly: true, overlay: .gibibytes(21))], "invalid_volume_overlay"),
                ([try Self.mount("nope")], "not_found"),
            ] {
                var request = try world.request("web")
                request.volumes = mounts
                let asked = request
                let error = await #expect(throws: AgentError.self) { try await world.instances.create(asked) }
                #expect(error?.code == code, "\(String(describing: error))")
            }
            var request = try world.request("web")
            for number in 0..<7 {
                try await Self.volume("v\(number)", in: world)
                request.volumes.append(
                    try Self.mount("v\(number)", "/v\(number)", readOnly: true, overlay: .gibibytes(1))
                )
            }
            let asked = request
            let error = await #expect(throws: AgentError.self) { try await world.instances.create(asked) }
            #expect(error?.code == "too_many_volumes")
        }
    }

    @Test func aCreateThatFailsLeavesTheVolumeFree() async throws {
        try await AgentWorld.with { world in
            try await Self.volume("data", in: world)
            world.host.fail(.start, with: Self.broken)
            var request = try world.request("web")
            request.volumes = [try Self.mount("data")]
            let asked = request
            await #expect(throws: AgentError.self) { try await world.instances.create(asked) }
            #expect(try Self.users("data", world) == [])
        }
    }

    // MARK: While it runs

    @Test func aVolumeComesIntoAMachineThatRunsAndOutOfIt() async throws {
        try await AgentWorld.with { world in
            try await Self.volume("data", in: world)
            try await Self.volume("more", in: world)
            let web = try await Self.run("web", [], in: world)
            let with = try await world.instances.attachVolume("web", try Self.mount("data"))
            _ = try await world.instances.attachVolume("web", try Self.mount("more", "/more", readOnly: true))
            #expect(with.specification.volumes.map(\.path.rawValue) == ["/data"] && with.volumeChange == nil)
            #expect(world.host.volumes(of: web.id).map(\.path) == ["/data", "/more"])
            let disks = try #require(world.host.description(of: web.id)).disks.suffix(2)
            #expect(disks.map(\.slot) == [0, 1] && disks.map(\.readOnly) == [false, true])
            let stored = try #require(try await world.store.load().instances.first)
            #expect(stored.description?.disks.count == 5)

            let without = try await world.instances.detachVolume("web", volume: "data")
            #expect(without.specification.volumes.map(\.path.rawValue) == ["/more"])
            #expect(world.host.volumes(of: web.id).map(\.path) == ["/more"])
            #expect(try Self.users("data", world) == [])
            let calls = world.host.calls.map(\.call)
            let unmount = try #require(calls.lastIndex(of: .unmountVolume))
            let detach = try #require(calls.lastIndex(of: .detachDisk))
            #expect(unmount < detach, "the guest lets go of it first")
            // The slot is free again.
            _ = try await world.instances.attachVolume("web", try Self.mount("data", "/again"))
            #expect(try #require(world.host.description(of: web.id)).disks.last?.slot == 0)

            // What was plugged in belongs to it from then on.
            _ = try await world.instances.stop("web")
            _ = try await world.instances.start("web")
            let again = try #require(world.host.description(of: web.id)).disks.dropFirst(3)
            #expect(again.count == 2 && again.allSatisfy { $0.slot == nil })
            _ = try await world.wait(web.id, for: .running)
            try await world.awaitChannel(web)
            let error = await #expect(throws: AgentError.self) {
                try await world.instances.detachVolume("web", volume: "data")
            }
            #expect(error?.code == "volume_not_hotplugged")
            _ = try await world.instances.stop("web")
            _ = try await world.instances.detachVolume("web", volume: "data")
            #expect(try Self.users("data", world) == [])
        }
    }

    @Test func whatCannotBeAttachedChangesNothing() async throws {
        try await AgentWorld.with { world in
            for name in ["data", "taken", "inner"] { try await Self.volume(name, in: world) }
            _ = try await Self.run("other", [try Self.mount("taken")], in: world)
            let web = try await Self.run("web", [try Self.mount("data")], in: world)
            for (request, code) in [
                (try Self.mount("data", "/second"), "volume_attached"),
                (try Self.mount("taken", "/x"), "volume_in_use"),
                (try Self.mount("inner", "/data/inner"), "invalid_mount_path"), (try Self.mount("nope"), "not_found"),
            ] {
                let error = await #expect(throws: AgentError.self) {
                    try await world.instances.attachVolume("web", request)
                }
                #expect(error?.code == code, "\(String(describing: error))")
            }
            let error = await #expect(throws: AgentError.self) {
                try await world.instances.detachVolume("web", volume: "inner")
            }
            #expect(error?.code == "volume_not_attached")
            #expect(Self.serials(web, world).count == 1)
            _ = try await world.instances.pause("web")
            await #expect(throws: AgentError.self) {
                try await world.instances.attachVolume("web", try Self.mount("inner", "/x"))
            }
            #expect(try Self.users("inner", world) == [])
        }
    }

    @Test func anOldGuestIsToldApart() async throws {
        var behaviour = GuestBehaviour()
        behaviour.features = [GuestFeature.attach]
        try await AgentWorld.with(behaviour: behaviour) { world in
            try await Self.volume("data", in: world)
            let web = try await Self.run("web", [], in: world)
            let error = await #expect(throws: AgentError.self) {
                try await world.instances.attachVolume("web", try Self.mount("data"))
            }
            #expect(error?.kind == .notSupported && error?.code == "guest_too_old")
            #expect(Self.serials(web, world).isEmpty)
            #expect(try Self.users("data", world) == [])
        }
    }

    enum AttachStep: CaseIterable { case open, store, plug, mount }

    @Test(arguments: AttachStep.allCases) func anAttachThatFailsIsUndone(_ step: AttachStep) async throws {
        try await AgentWorld.with { world in
            try await Self.volume("data", in: world)
            let web = try await Self.run("web", [], in: world)
            switch step {
            case .open: world.volumeDisks.fail(.open, with: Self.broken)
            case .store: world.store.failCommits(with: Self.broken)
            case .plug: world.host.fail(.attachDisk, with: Self.broken)
            case .mount: world.host.fail(.mountVolume, with: Self.broken)
            }
            let error = await #expect(throws: AgentError.self) {
                try await world.instances.attachVolume("web", try Self.mount("data"))
            }
            #expect(error?.code == "injected")
            world.store.failCommits(with: nil)
            let after = try world.instances.get("web")
            #expect(after.state == .running && after.volumeChange == nil && after.specification.volumes.isEmpty)
            #expect(Self.serials(web, world).isEmpty && world.host.volumes(of: web.id).isEmpty)
            #expect(try Self.users("data", world) == [])
            _ = try await world.instances.attachVolume("web", try Self.mount("data"))
        }
    }

    @Test func aVolumeThatIsInUseStays() async throws {
        try await AgentWorld.with { world in
            try await Self.volume("data", in: world)
            let web = try await Self.run("web", [], in: world)
            _ = try await world.instances.attachVolume("web", try Self.mount("data"))
            world.host.fail(.unmountVolume, with: Self.busy)
            let error = await #expect(throws: AgentError.self) {
                try await world.instances.detachVolume("web", volume: "data")
            }
            #expect(error?.message.contains("process 7 (postgres)") == true)
            let after = try world.instances.get("web")
            #expect(after.volumeChange == nil && after.specification.volumes.count == 1)
            #expect(world.host.volumes(of: web.id).count == 1 && Self.serials(web, world).count == 1)
            #expect(try Self.users("data", world) == ["web"])
        }
    }

    @Test func aMachineThatKeepsTheDiskGivesItBackToTheGuest() async throws {
        try await AgentWorld.with { world in
            try await Self.volume("data", in: world)
            let web = try await Self.run("web", [], in: world)
            _ = try await world.instances.attachVolume("web", try Self.mount("data"))
            world.host.fail(.detachDisk, with: AgentError(.timeout, "the guest does not let go of it"))
            let error = await #expect(throws: AgentError.self) {
                try await world.instances.detachVolume("web", volume: "data")
            }
            #expect(error?.kind == .timeout)
            #expect(world.host.volumes(of: web.id).map(\.path) == ["/data"])
            #expect(try world.instances.get("web").volumeChange == nil)
            _ = try await world.instances.detachVolume("web", volume: "data")
        }
    }

    @Test func whatNobodyKnowsIsSettledByTheNextChange() async throws {
        try await AgentWorld.with { world in
            try await Self.volume("data", in: world)
            let web = try await Self.run("web", [], in: world)
            _ = try await world.instances.attachVolume("web", try Self.mount("data"))
            // The guest is lost in the middle: it may have unmounted, or not.
            world.host.fail(.unmountVolume, with: AgentError(.unavailable, "the connection is lost"))
            await #expect(throws: AgentError.self) { try await world.instances.detachVolume("web", volume: "data") }
            let unsettled = try world.instances.get("web")
            #expect(unsettled.volumeChange?.kind == .detaching && unsettled.stateError?.contains("until") == true)
            #expect(try Self.users("data", world) == ["web"], "nobody else gets it")

            let settled = try await world.instances.detachVolume("web", volume: "data")
            #expect(settled.volumeChange == nil && settled.specification.volumes.isEmpty && settled.stateError == nil)
            #expect(Self.serials(web, world).isEmpty && world.host.volumes(of: web.id).isEmpty)
            #expect(try Self.users("data", world) == [])
        }
    }

    // MARK: Over a crash

    @Test func anAttachThatWasCutOffIsUndoneByTheNextLife() async throws {
        try await AgentWorld.with { world in
            try await Self.volume("data", in: world)
            let web = try await Self.run("web", [], in: world)
            let (instances, mount) = (world.instances, try Self.mount("data"))
            // The agent dies while the guest mounts.
            world.host.hang(.mountVolume)
            let attach = Task { try await instances.attachVolume("web", mount) }
            while world.host.hanging == 0 { await Task.yield() }
            try await world.restart()
            _ = await attach.result
            #expect(try await Self.settles(web.id, world))
            #expect(try world.instances.get("web").specification.volumes.isEmpty)
            #expect(Self.serials(web, world).isEmpty && world.host.volumes(of: web.id).isEmpty)
            // The volume is given back after the instance has settled.
            let deadline = ContinuousClock.now + Patience.of(.seconds(10))
            while try Self.users("data", world) != [], ContinuousClock.now < deadline { await Task.yield() }
            #expect(try Self.users("data", world) == [])
        }
    }

    @Test func aDetachThatWasCutOffIsFinishedByTheNextLife() async throws {
        try await AgentWorld.with { world in
            try await Self.volume("data", in: world)
            let web = try await Self.run("web", [], in: world)
            _ = try await world.instances.attachVolume("web", try Self.mount("data"))
            let instances = world.instances
            world.host.hang(.detachDisk)
            let detach = Task { try await instances.detachVolume("web", volume: "data") }
            while world.host.hanging == 0 { await Task.yield() }
            try await world.restart()
            _ = await detach.result
            #expect(try await Self.settles(web.id, world))
            #expect(try world.instances.get("web").specification.volumes.isEmpty)
            #expect(Self.serials(web, world).isEmpty)
            #expect(try Self.users("data", world) == [])
        }
    }

    @Test func aHostThatWasRebootedHasNothingHalfDone() async throws {
        try await AgentWorld.with { world in
            try await Self.volume("data", in: world)
            _ = try await Self.run("web", [], in: world)
            let (instances, mount) = (world.instances, try Self.mount("data"))
            world.host.hang(.mountVolume)
            let attach = Task { try await instances.attachVolume("web", mount) }
            while world.host.hanging == 0 { await Task.yield() }
            try await world.restart(rebootingHost: true)
            _ = await attach.result
            let web = try world.instances.get("web")
            #expect(web.state == .stopped && web.volumeChange == nil && web.specification.volumes.isEmpty)
            #expect(try Self.users("data", world) == [])
        }
    }

    private static func settles(_ id: InstanceID, _ world: AgentWorld) async throws -> Bool {
        for await instance in world.directory.changes(of: id) where instance.volumeChange == nil { return true }
        return false
    }

    // MARK: Standby and snapshots

    @Test func standbyKeepsWhatWasPluggedIn() async throws {
        try await AgentWorld.with { world in
            let data = try await Self.volume("data", in: world)
            let web = try await Self.run("web", [], in: world)
            _ = try await world.instances.attachVolume("web", try Self.mount("data"))
            _ = try await world.instances.standby("web")
            await #expect(throws: AgentError.self) { try await world.instances.detachVolume("web", volume: "data") }
            await #expect(throws: AgentError.self) { try await world.volumes.grow("data", to: .gibibytes(2)) }
            _ = try await world.instances.restore("web")
            #expect(try #require(world.host.description(of: web.id)).disks.last?.slot == 0)
            _ = try await world.instances.detachVolume("web", volume: "data")

            _ = try await world.instances.attachVolume("web", try Self.mount("data"))
            _ = try await world.instances.standby("web")
            world.volumeDisks.write(to: data.id)
            let error = await #expect(throws: AgentError.self) { try await world.instances.restore("web") }
            #expect(error?.code == "snapshot_volume_mismatch" && error?.message.contains("changed since") == true)
        }
    }

    @Test func aSnapshotDoesNotGoWithOtherVolumes() async throws {
        try await AgentWorld.with { world in
            let data = try await Self.volume("data", in: world)
            try await Self.volume("more", in: world)
            _ = try await Self.run("web", [try Self.mount("data")], in: world)
            let request = CreateSnapshotRequest(kind: .standby, name: try InstanceName("kept"))
            _ = try await world.instances.createSnapshot("web", request)
            _ = try await world.instances.stop("web")
            _ = try await world.instances.attachVolume("web", try Self.mount("more", "/more"))
            #expect(await Self.refusal(world.instances).contains("was not there then"))
            _ = try await world.instances.detachVolume("web", volume: "more")
            _ = try await world.instances.detachVolume("web", volume: "data")
            #expect(await Self.refusal(world.instances).contains("is not any more"))
            _ = try await world.instances.attachVolume("web", try Self.mount("data"))
            #expect(try await world.instances.restoreSnapshot("web", "kept", to: nil).state == .standby)
            _ = try await world.instances.stop("web")
            world.volumeDisks.write(to: data.id)
            #expect(await Self.refusal(world.instances).contains("was changed since"))
        }
    }

    private static func refusal(_ instances: InstancesService) async -> String {
        let error = await #expect(throws: AgentError.self) {
            try await instances.restoreSnapshot("web", "kept", to: nil)
        }
        return error?.message ?? ""
    }

    @Test func aVolumeGrowsWhileWhoHasItIsStopped() async throws {
        try await AgentWorld.with { world in
            try await Self.volume("data", in: world)
            _ = try await Self.run("web", [try Self.mount("data")], in: world)
            let error = await #expect(throws: AgentError.self) {
                try await world.volumes.grow("data", to: .gibibytes(2))
            }
            #expect(error?.code == "volume_in_use" && error?.message.contains("'web'") == true)
            _ = try await world.instances.stop("web")
            #expect(try await world.volumes.grow("data", to: .gibibytes(2)).size == .gibibytes(2))
        }
    }

    @Test func anOverlayOverAVolumeGoesWithTheVolume() async throws {
        try await AgentWorld.with { world in
            let data = try await Self.volume("data", in: world)
            let mount = try Self.mount("data", readOnly: true, overlay: .gibibytes(1))
            let web = try await Self.run("web", [mount], in: world)
            _ = try await world.instances.stop("web")
            _ = try await world.disks.fingerprint(of: web.id, over: data.id)
            _ = try await world.instances.detachVolume("web", volume: "data")
            await #expect(throws: AgentError.self) {
                try await world.disks.fingerprint(of: web.id, over: data.id)
            }
        }
    }

    // MARK: Forks

    @Test func aForkSharesWhatIsReadAndNotWhatIsWritten() async throws {
        try await AgentWorld.with { world in
            let seed = try await Self.volume("seed", in: world)
            try await Self.volume("data", in: world)
            try await Self.volume("base", in: world)
            let reader = try await Self.run("reader", [try Self.mount("seed", "/seed", readOnly: true)], in: world)
            while try world.instances.get("reader").guestFeatures == nil { await Task.yield() }
            let twin = try await world.instances.fork("reader", try Self.fork("twin"))
            #expect(twin.state == .running && twin.specification.volumes == reader.specification.volumes)
            #expect(Self.serials(twin, world) == Self.serials(reader, world) && Self.serials(twin, world).count == 1)
            #expect(try Self.users("seed", world) == ["reader", "twin"])
            #expect(world.volumeDisks.openings(of: seed.id).allSatisfy { $0 })

            _ = try await Self.run("writer", [try Self.mount("data")], in: world)
            let overlay = try Self.mount("base", readOnly: true, overlay: .gibibytes(1))
            _ = try await Self.run("layered", [overlay], in: world)
            for name in ["writer", "layered"] {
                let error = await #expect(throws: AgentError.self) {
                    try await world.instances.fork(name, try Self.fork("copy"))
                }
                #expect(error?.code == "volumes_not_forkable" && error?.message.contains("on /data") == true)
            }
            #expect(world.instances.list().count == 4, "nothing is left of a fork that was refused")
            try await world.instances.delete("twin")
            #expect(try Self.users("seed", world) == ["reader"])
        }
    }

    @Test func aForkOfASnapshotNeedsTheVolumesAsTheyWereThen() async throws {
        try await AgentWorld.with { world in
            let seed = try await Self.volume("seed", in: world)
            _ = try await Self.run("web", [try Self.mount("seed", readOnly: true)], in: world)
            while try world.instances.get("web").guestFeatures == nil { await Task.yield() }
            let request = CreateSnapshotRequest(kind: .standby, name: try InstanceName("kept"))
            _ = try await world.instances.createSnapshot("web", request)
            #expect(try await world.instances.forkSnapshot("kept", try Self.fork("twin")).state == .running)
            world.volumeDisks.write(to: seed.id)
            let error = await #expect(throws: AgentError.self) {
                try await world.instances.forkSnapshot("kept", try Self.fork("late"))
            }
            #expect(error?.code == "snapshot_volume_mismatch")
            #expect(try Self.users("seed", world).sorted() == ["twin", "web"])
        }
    }

    private static func fork(_ name: String) throws -> ForkInstanceRequest {
        ForkInstanceRequest(name: try InstanceName(name), fromRunning: true, target: .running)
    }
}

import AgentCore
import AgentTestSupport
import GuestProtocol
import SystemPackage
import Testing

@Suite struct ForkTests {
    private static let broken = AgentError(.unavailable, code: "injected", "it was told to fail")

    private static func fork(
        _ name: String,
        fromRunning: Bool = false,
        to target: InstanceState? = nil,
        ports: [PublishedPort] = []
    ) throws -> ForkInstanceRequest {
        ForkInstanceRequest(
            name: try InstanceName(name),
            fromRunning: fromRunning,
            target: target,
            publishedPorts: ports
        )
    }

    // MARK: From each state

    @Test func twoForksOfOneMemoryRunBesideIt() async throws {
        try await AgentWorld.with { world in
            var request = try world.request("web")
            request.environment = ["A": "b"]
            request.tags = ["team": "x"]
            request.publishedPorts = [PublishedPort(hostPort: 8080, guestPort: 80)]
            request.restartPolicy = RestartPolicy(mode: .always)
            let id = try await world.instances.create(request).id
            _ = try await world.wait(id, for: .running)
            world.host.writeOutput("before\n", of: id)
            while world.logs.text(of: id) != "before" { await Task.yield() }
            let source = try await world.instances.standby("web")
            let one = try await world.instances.fork("web", try Self.fork("one"))
            let two = try await world.instances.fork("web", try Self.fork("two", to: .running))
            #expect(one.state == .standby && two.state == .running)
            #expect(try world.instances.get("web") == source, "the source is untouched")
            let running = try await world.instances.restore("one")
            #expect(running.state == .running && running.standby == nil)
            for fork in [running, two] {
                var expected = source.specification
                expected.name = fork.name
                expected.publishedPorts = []
                #expect(fork.specification == expected)
                #expect(fork.attachment != nil && fork.attachment?.address != source.attachment?.address)
                #expect(fork.attachment?.mac != source.attachment?.mac)
                #expect(fork.formerIdentity == nil && fork.boots == 1 && fork.exit == nil)
                #expect(world.disks.overlaySize(of: fork.id) == source.specification.overlaySize)
                let machine = try #require(world.host.description(of: fork.id))
                #expect(machine.card?.tap == fork.attachment?.tap)
                #expect(machine.disks.filter { !$0.readOnly }.allSatisfy { $0.path.string.contains(fork.id.rawValue) })
                #expect(!machine.disks.contains { $0.path.string.contains(id.rawValue) })
                let told = try #require(world.host.identities(of: fork.id).first)
                #expect(world.host.identities(of: fork.id).count == 1)
                #expect(told.hostname == fork.name.rawValue && told.instance == fork.id.rawValue)
                #expect(told.formerMAC == source.attachment?.mac.description)
                #expect(told.network?.mac == fork.attachment?.mac.description)
                #expect(told.network?.address == fork.attachment?.address.description)
                #expect(told.news.entropy.count == 64)
                world.host.writeOutput("\(fork.name)\n", of: fork.id)
                while world.logs.text(of: fork.id) != fork.name.rawValue { await Task.yield() }
            }
            let ids = [running, two].compactMap { world.host.identities(of: $0.id).first }
            #expect(Set(ids.map(\.machineID)).count == 2 && Set(ids.map(\.news.entropy)).count == 2)
            #expect(world.host.identities(of: id).isEmpty)
            #expect(try await world.instances.restore("web").state == .running)
            #expect(world.host.running == [id, one.id, two.id])
            #expect(world.snapshots.all.isEmpty)
            let created = try await world.store.events(after: 0, limit: 1000).map(\.event).filter {
                $0.kind == .instanceCreated && $0.attributes["source"] == id.rawValue
            }
            #expect(created.map(\.subject) == [one.id.rawValue, two.id.rawValue])
        }
    }

    @Test func oneThatRunsStandsStillOnlyIfItMay() async throws {
        try await AgentWorld.with { world in
            let source = try await world.make("web")
            try await world.awaitChannel(source)
            let error = await #expect(throws: AgentError.self) {
                try await world.instances.fork("web", try Self.fork("twin"))
            }
            #expect(error?.kind == .invalidState && error?.message.contains("from_running") == true)
            #expect(!world.host.calls.contains { $0.call == .pause })
            #expect(world.instances.list().count == 1)
            let twin = try await world.instances.fork("web", try Self.fork("twin", fromRunning: true))
            #expect(twin.state == .running && !world.host.isPaused(source.id) && !world.host.isPaused(twin.id))
            let after = try world.instances.get("web")
            #expect(after.state == .running && after.machine == source.machine && after.desired == .running)
            // A fork is a source like any other.
            let third = try await world.instances.fork("twin", try Self.fork("third", fromRunning: true))
            #expect(world.host.identities(of: third.id).first?.formerMAC == twin.attachment?.mac.description)
        }
    }

    @Test func aPausedOneStaysPausedAndItsForkIsInStandby() async throws {
        try await AgentWorld.with { world in
            let source = try await world.make("web")
            _ = try await world.instances.pause("web")
            let twin = try await world.instances.fork("web", try Self.fork("twin"))
            #expect(twin.state == .standby && twin.desired == .standby)
            #expect(try world.instances.get("web").state == .paused && world.host.isPaused(source.id))
            #expect(try await world.instances.restore("twin").state == .running)
        }
    }

    @Test func aDiskAloneIsCopiedAndStarted() async throws {
        try await AgentWorld.with { world in
            let source = try await world.make("web")
            world.disks.write(to: source.id)
            _ = try await world.instances.stop("web")
            let error = await #expect(throws: AgentError.self) {
                try await world.instances.fork("web", try Self.fork("twin", to: .standby))
            }
            #expect(error?.code == "invalid_target_state")
            let twin = try await world.instances.fork("web", try Self.fork("twin"))
            #expect(twin.state == .stopped && twin.exit == nil && world.disks.origin(of: twin.id) == 1)
            let third = try await world.instances.fork("web", try Self.fork("third", to: .running))
            #expect(try await world.wait(third.id, for: .running).formerIdentity == nil)
            _ = try await world.instances.start("twin")
            _ = try await world.wait(twin.id, for: .running)
            #expect(world.host.identities(of: twin.id).isEmpty, "it booted as itself")
        }
    }

    @Test func ofOneThatRunsTheDiskAloneIsEnough() async throws {
        try await AgentWorld.with { world in
            let source = try await world.make("web")
            let twin = try await world.instances.fork("web", try Self.fork("twin", fromRunning: true, to: .stopped))
            #expect(twin.state == .stopped && world.snapshots.all.isEmpty)
            #expect(world.host.calls.contains { $0.call == .pause } && !world.host.isPaused(source.id))
        }
    }

    @Test func aStoppedForkWhoseFirstStartIsCutOffIsStillThere() async throws {
        try await AgentWorld.with { world in
            _ = try await world.make("web")
            _ = try await world.instances.stop("web")
            let twin = try await world.instances.fork("web", try Self.fork("twin"))
            world.host.hang(.start)
            let start = Task { [instances = world.instances] in try await instances.start("twin") }
            while world.host.hanging == 0 { await Task.yield() }
            try await world.restart()
            _ = await start.result
            #expect(try world.instances.get("twin").state == .stopped)
            #expect(world.disks.overlaySize(of: twin.id) != nil)
        }
    }

    // MARK: Of snapshots

    @Test func aSnapshotIsForkedWhateverBecameOfItsInstance() async throws {
        try await AgentWorld.with { world in
            let source = try await world.make("web")
            try await world.awaitChannel(source)
            let kept = try await world.instances.createSnapshot("web", CreateSnapshotRequest(kind: .standby))
            try await world.instances.delete("web")
            #expect(throws: AgentError.self) { try world.instances.get("web") }
            let image = try ImageReference(AgentWorld.imageName)
            let images = world.images
            let error = await #expect(throws: AgentError.self) { try await images.delete(image) }
            #expect(error?.code == "image_in_use" && error?.message.contains(kept.id.rawValue) == true)
            try await world.restart()
            let twin = try await world.instances.forkSnapshot(kept.id.rawValue, try Self.fork("web", to: .running))
            #expect(twin.state == .running && twin.id != source.id)
            #expect(world.host.identities(of: twin.id).first?.formerMAC == source.attachment?.mac.description)
            let third = try await world.instances.forkSnapshot(kept.id.rawValue, try Self.fork("third"))
            #expect(third.state == .standby)
            let disk = try await world.instances.forkSnapshot(kept.id.rawValue, try Self.fork("disk", to: .stopped))
            #expect(disk.state == .stopped && disk.standby == nil)
            try await world.instances.deleteSnapshot(kept.id.rawValue)
            #expect(try await world.instances.restore("third").state == .running, "what is shared stays")
        }
    }

    @Test func aSnapshotOfAForkThatWasNeverToldIsNobodysOwnYet() async throws {
        try await AgentWorld.with { world in
            let source = try await world.make("web")
            _ = try await world.instances.standby("web")
            let twin = try await world.instances.fork("web", try Self.fork("twin"))
            let kept = try await world.instances.createSnapshot("twin", CreateSnapshotRequest(kind: .standby))
            _ = try await world.instances.restore("twin")
            #expect(world.host.identities(of: twin.id).count == 1)
            _ = try await world.instances.standby("twin")
            _ = try await world.instances.restore("twin")
            #expect(world.host.identities(of: twin.id).count == 1, "its memory is its own now")
            _ = try await world.instances.stop("twin")
            _ = try await world.instances.restoreSnapshot("twin", kept.id.rawValue, to: .running)
            #expect(world.host.identities(of: twin.id).count == 2, "that of the snapshot is not")
            let third = try await world.instances.forkSnapshot(kept.id.rawValue, try Self.fork("third", to: .running))
            #expect(world.host.identities(of: third.id).first?.formerMAC == source.attachment?.mac.description)
        }
    }

    // MARK: Refusals

    @Test func whatIsTakenOrNotThereIsRefusedAndNothingIsLeft() async throws {
        try await AgentWorld.with { world in
            var request = try world.request("web")
            let port = PublishedPort(hostPort: 8080, guestPort: 80)
            request.publishedPorts = [port]
            let id = try await world.instances.create(request).id
            _ = try await world.wait(id, for: .running)
            let kept = try await world.instances.createSnapshot("web", CreateSnapshotRequest(kind: .standby))
            _ = try await world.instances.standby("web")
            func check(_ code: String, _ body: () async throws -> Instance) async {
                let error = await #expect(throws: AgentError.self) { _ = try await body() }
                #expect(error?.code == code)
            }
            let before = world.snapshots.all
            let instances = world.instances
            await check("name_conflict") { try await instances.fork("web", try Self.fork("web")) }
            await check("not_found") { try await instances.fork("nope", try Self.fork("twin")) }
            await check("port_in_use") { try await instances.fork("web", try Self.fork("twin", ports: [port])) }
            await check("not_found") { try await instances.forkSnapshot("nope", try Self.fork("twin")) }
            world.snapshots.change(kept.id) { $0.memory?.version = "0.9.9" }
            await check("snapshot_version_mismatch") {
                try await instances.forkSnapshot(kept.id.rawValue, try Self.fork("twin"))
            }
            #expect(world.snapshots.all == before && world.instances.list().map(\.id) == [id])
            #expect(try await world.store.load().instances.count == 1)
            let resources = try await world.store.load().resources
            #expect(resources.allSatisfy { $0.owner == id })
            let other = PublishedPort(hostPort: 8081, guestPort: 80)
            let twin = try await world.instances.fork("web", try Self.fork("twin", ports: [other]))
            #expect(twin.specification.publishedPorts == [other])
        }
    }

    @Test func aGuestThatIsTooOldIsForkedWithoutItsMemoryOnly() async throws {
        var behaviour = GuestBehaviour()
        behaviour.features = [GuestFeature.attach, GuestFeature.wakeUp]
        try await AgentWorld.with(behaviour: behaviour) { world in
            let source = try await world.make("web")
            try await world.awaitChannel(source)
            for state in [InstanceState.running, .standby] {
                if state == .standby { _ = try await world.instances.standby("web") }
                let error = await #expect(throws: AgentError.self) {
                    try await world.instances.fork("web", try Self.fork("twin", fromRunning: true))
                }
                #expect(error?.kind == .notSupported && error?.code == "guest_too_old")
                #expect(world.instances.list().count == 1 && world.snapshots.all.count == (state == .standby ? 1 : 0))
            }
            #expect(!world.host.calls.contains { $0.call == .restore })
            let twin = try await world.instances.fork("web", try Self.fork("twin", to: .stopped))
            #expect(twin.state == .stopped)
        }
    }

    @Test func aDiskThatIsNotItsOwnIsNotCopied() async throws {
        try await AgentWorld.with { world in
            _ = try await world.make("web")
            let snapshot = try #require(try await world.instances.standby("web").standby).snapshot
            world.snapshots.change(snapshot) { manifest in
                manifest.memory?.machine.disks.append(.init(serial: "vol-1", path: "/somewhere", readOnly: false))
            }
            let error = await #expect(throws: AgentError.self) {
                try await world.instances.fork("web", try Self.fork("twin"))
            }
            #expect(error?.code == "disk_not_forkable" && error?.message.contains("vol-1") == true)
            #expect(world.instances.list().count == 1)
        }
    }

    // MARK: Identity

    @Test func aGuestThatDoesNotBecomeAnotherIsNotLeftRunning() async throws {
        try await AgentWorld.with { world in
            let source = try await world.make("web")
            _ = try await world.instances.standby("web")
            world.host.fail(.identify, with: Self.broken, times: 3)
            let error = await #expect(throws: AgentError.self) {
                try await world.instances.fork("web", try Self.fork("twin", to: .running))
            }
            #expect(error?.code == "injected")
            #expect(world.instances.list().map(\.id) == [source.id] && world.host.running.isEmpty)
            #expect(world.network.attached.isEmpty && world.snapshots.all.count == 1)
            // One that was left in Standby keeps its memory, as its disk was not written to.
            let twin = try await world.instances.fork("web", try Self.fork("twin"))
            world.host.fail(.identify, with: Self.broken, times: 3)
            await #expect(throws: AgentError.self) { try await world.instances.restore("twin") }
            let after = try world.instances.get("twin")
            #expect(after.state == .standby && after.formerIdentity != nil)
            #expect(after.stateError?.contains("told to fail") == true)
            #expect(world.host.running.isEmpty)
            world.host.fail(.identify, with: Self.broken)
            #expect(try await world.instances.restore("twin").state == .running, "the second time it does")
            #expect(world.host.identities(of: twin.id).count == 1)
        }
    }

    @Test func anAgentThatDiesBeforeTheGuestIsToldTellsItInItsNextLife() async throws {
        try await AgentWorld.with { world in
            _ = try await world.make("web")
            _ = try await world.instances.standby("web")
            let twin = try await world.instances.fork("web", try Self.fork("twin"))
            world.host.hang(.identify)
            let restore = Task { [instances = world.instances] in try await instances.restore("twin") }
            while world.host.hanging == 0 { await Task.yield() }
            // Nothing else is asked of a guest that is not told yet.
            let request = ExecRequest(program: GuestProgram(arguments: ["true"], environment: []))
            await #expect(throws: AgentError.self) {
                _ = try await world.instances.exec("twin", request, patience: .zero)
            }
            try await world.restart()
            _ = await restore.result
            let after = try await world.wait(twin.id, for: .running)
            try await world.awaitChannel(after)
            #expect(world.host.identities(of: twin.id).count == 1)
            let told = try world.instances.get("twin")
            #expect(told.formerIdentity == nil)
            while world.snapshots.all.count > 1 { await Task.yield() }
        }
    }

    @Test func aDeleteOvertakesAFork() async throws {
        try await AgentWorld.with { world in
            let source = try await world.make("web")
            try await world.awaitChannel(source)
            for name in ["twin", "web"] {
                world.host.hang(.snapshot)
                let fork = Task { [instances = world.instances] in
                    try await instances.fork("web", try Self.fork("twin", fromRunning: true))
                }
                while world.host.hanging == 0 { await Task.yield() }
                try await world.instances.delete(name)
                let error = await #expect(throws: AgentError.self) { try await fork.value }
                #expect(error?.kind == .cancelled)
                #expect(world.instances.list().map(\.name.rawValue) == (name == "twin" ? ["web"] : []))
                #expect(world.snapshots.all.isEmpty && !world.host.isPaused(source.id))
            }
            #expect(world.host.running.isEmpty)
            #expect(try await world.store.load().resources.isEmpty)
        }
    }
}

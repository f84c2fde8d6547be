import AgentCore
import AgentTestSupport
import Testing

/// What the agent's end, at any moment, leaves of the network, and what its next life makes of it.
@Suite struct NetworkRecoveryTests {
    /// Where a start is cut.
    enum Cut: String, CaseIterable, Sendable {
        case beforeAttach, afterAttach, beforeMachine, afterMachine
    }

    @Test(arguments: Cut.allCases) func aCreateThatIsCutLeavesNothingAttached(_ cut: Cut) async throws {
        try await AgentWorld.with { world in
            let bystander = try await world.make("bystander")
            cutNextStart(cut, in: world)
            let create = Task { [world] in try await world.instances.create(try world.request("web")) }
            await reach(cut, in: world)
            let journal = try await world.store.load().resources.filter { $0.owner != bystander.id }
            #expect(journal.contains { $0.kind == .network }, "in the journal before it is made")
            try await world.restart()
            await #expect(throws: AgentError.self) { try await create.value }
            #expect(world.instances.list().map(\.id) == [bystander.id])
            #expect(world.host.running == [bystander.id])
            #expect(world.network.attached == [bystander.id: try #require(bystander.endpoint)])
            #expect(try await world.store.load().resources.allSatisfy { $0.owner == bystander.id })
            let next = try await world.make("web")
            #expect(next.attachment?.address.description == "10.100.0.4", "the one that was given rests")
        }
    }

    @Test(arguments: Cut.allCases) func aStartThatIsCutLeavesItStoppedWithItsAddress(_ cut: Cut) async throws {
        try await AgentWorld.with { world in
            let before = try await world.make("web")
            _ = try await world.instances.stop("web")
            cutNextStart(cut, in: world)
            let start = Task { [world] in try await world.instances.start("web") }
            await reach(cut, in: world)
            try await world.restart()
            await #expect(throws: AgentError.self) { try await start.value }
            let after = try world.instances.get("web")
            #expect(after.state == .stopped && after.attachment == before.attachment)
            #expect(world.network.attached.isEmpty && world.host.running.isEmpty)
            #expect(try await world.store.load().resources.map(\.kind) == [.disks])
            #expect(try await world.instances.start("web").attachment == before.attachment)
        }
    }

    private func cutNextStart(_ cut: Cut, in world: AgentWorld) {
        switch cut {
        case .beforeAttach: world.network.hang(.attach)
        case .afterAttach: world.network.hang(.attach, afterwards: true)
        case .beforeMachine: world.host.hang(.start)
        case .afterMachine: world.host.hangAfterStart()
        }
    }

    private func reach(_ cut: Cut, in world: AgentWorld) async {
        switch cut {
        case .beforeAttach, .afterAttach: while world.network.hanging == 0 { await Task.yield() }
        case .beforeMachine, .afterMachine: while world.host.hanging == 0 { await Task.yield() }
        }
    }

    @Test func aStopThatIsCutWhileDetachingIsFinished() async throws {
        try await AgentWorld.with { world in
            let instance = try await world.make("web")
            world.network.hang(.detach)
            world.host.killVMM(of: instance.id)
            while world.network.hanging == 0 { await Task.yield() }
            try await world.restart()
            #expect(try world.instances.get("web").state == .stopped)
            #expect(world.network.attached.isEmpty)
            #expect(try await world.store.load().resources.map(\.kind) == [.disks])
        }
    }

    @Test func whatRunsStaysAttachedAndKeepsItsAddress() async throws {
        try await AgentWorld.with { world in
            let instance = try await world.make("web")
            let endpoint = try #require(instance.endpoint)
            let network = world.network
            try await world.restart { network.lose(endpoint) }
            #expect(world.network.reconciliations.last == [endpoint])
            #expect(world.network.attached == [instance.id: endpoint])
            #expect(try world.instances.get("web").attachment == instance.attachment)
        }
    }

    @Test func afterAHostRebootNothingIsAttached() async throws {
        try await AgentWorld.with { world in
            let instance = try await world.make("web")
            try await world.restart()
            try await world.restart(rebootingHost: true)
            #expect(world.network.reconciliations.last?.isEmpty == true)
            #expect(world.network.attached.isEmpty)
            #expect(try await world.instances.start("web").attachment == instance.attachment)
        }
    }

    @Test func noAddressIsGivenTwiceOverRestarts() async throws {
        try await AgentWorld.with { world in
            var given: [IPv4Address] = []
            for number in 0..<5 {
                given.append(try #require(try await world.make("n\(number)").attachment?.address))
                try await world.instances.delete("n\(number)")
                try await world.restart()
            }
            #expect(Set(given).count == 5, "a freed one rests, also over a restart")
        }
    }

    @Test func portsAreTakenOverARestart() async throws {
        try await AgentWorld.with { world in
            var request = try world.request("web")
            request.publishedPorts = [PublishedPort(hostPort: 8080, guestPort: 80)]
            _ = try await world.instances.create(request)
            _ = try await world.instances.stop("web")
            try await world.restart()
            request.name = try InstanceName("other")
            let asked = request
            let error = await #expect(throws: AgentError.self) { try await world.instances.create(asked) }
            #expect(error?.code == "port_in_use" && error?.message.contains("'web'") == true)
            try await world.instances.delete("web")
            _ = try await world.instances.create(asked)
        }
    }

    @Test func aHostThatCannotBeBroughtInLineStopsTheStartAndTouchesNothing() async throws {
        try await AgentWorld.with { world in
            let instance = try await world.make("web")
            let network = world.network
            let refused = AgentError(.invalidState, "10.100.0.0/16 overlaps the route of eth7")
            let error = await #expect(throws: AgentError.self) {
                try await world.restart { network.fail(.reconcile, with: refused) }
            }
            #expect(error?.message == refused.message)
            #expect(world.host.running == [instance.id])
            #expect(try await world.store.load().instances == [instance])
            try await world.restart()
            #expect(try world.instances.get("web").state == .running)
        }
    }

    // MARK: Another configuration

    @Test func inAnotherSubnetAnInstanceGetsAnotherAddressAtItsNextStart() async throws {
        try await AgentWorld.with { world in
            let before = try await world.make("web")
            try await world.restart(subnet: "192.0.2.0/24")
            let running = try world.instances.get("web")
            #expect(running.state == .running && running.attachment == before.attachment)
            #expect(world.network.reconciliations.last?.isEmpty == true, "its network is gone")
            _ = try await world.instances.stop("web")
            let after = try await world.instances.start("web")
            #expect(after.attachment?.address.description == "192.0.2.2")
            #expect(try await world.store.load().instances.first?.attachment == after.attachment)
            #expect(world.network.attached[after.id] == after.endpoint)
            #expect(try await world.make("next").attachment?.address.description == "192.0.2.3")
        }
    }

    @Test func withoutANetworkAnInstanceThatHadOneIsNotStarted() async throws {
        try await AgentWorld.with { world in
            let before = try await world.make("web")
            _ = try await world.instances.stop("web")
            try await world.restart(subnet: nil)
            let error = await #expect(throws: AgentError.self) { try await world.instances.start("web") }
            #expect(error?.kind == .notSupported && error?.code == "network_unavailable")
            #expect(error?.message.contains("'web'") == true && error?.message.contains("10.100.0.2") == true)
            #expect(try world.instances.get("web").state == .stopped)
            try await world.restart()
            #expect(try await world.instances.start("web").attachment == before.attachment)
        }
    }
}

import AgentCore
import AgentTestSupport
import Foundation
import GuestProtocol
import Testing

/// Addresses, devices and ports of instances, from create to delete.
@Suite struct InstancesNetworkTests {
    private func publishing(_ name: String, _ ports: String..., in world: AgentWorld) throws -> CreateInstanceRequest {
        var request = try world.request(name)
        request.publishedPorts = try ports.map { try #require(PublishedPort($0)) }
        return request
    }

    // MARK: An ordinary life

    @Test func aCreateGivesAnAddressAndAttaches() async throws {
        try await AgentWorld.with { world in
            var request = try publishing("web", "8080:80", in: world)
            request.bandwidth.upload = BitRate(bitsPerSecond: 10_000_000)
            let instance = try await world.instances.create(request)
            let attachment = try #require(instance.attachment)
            #expect(attachment.address.description == "10.100.0.2")
            #expect(attachment.mac.description == "02:68:0a:64:00:02")
            let endpoint = try #require(world.network.attached[instance.id])
            #expect(endpoint == instance.endpoint)
            #expect(endpoint.limits.upload == BitRate(bitsPerSecond: 10_000_000))
            #expect(endpoint.publishedPorts == [PublishedPort(hostPort: 8080, guestPort: 80)])
            #expect(world.host.description(of: instance.id)?.card?.tap == attachment.tap)
            #expect(world.host.description(of: instance.id)?.card?.mac == attachment.mac)
            let bytes = try #require(world.disks.configuration(of: instance.id))
            let guest = try JSONDecoder().decode(GuestConfiguration.self, from: Data(bytes)).network
            #expect(guest?.address == "10.100.0.2" && guest?.prefixLength == 16 && guest?.gateway == "10.100.0.1")
            #expect(guest?.searchDomains == ["hypeman.internal"] && guest?.nameServers == ["10.100.0.1"])
            #expect(try await world.store.load().lastAddresses == ["default": attachment.address])
        }
    }

    @Test func stoppedItKeepsItsAddressAndPortsAndIsDetached() async throws {
        try await AgentWorld.with { world in
            let request = try publishing("web", "8080:80", in: world)
            let first = try await world.instances.create(request)
            let stopped = try await world.instances.stop("web")
            #expect(stopped.attachment == first.attachment)
            #expect(world.network.attached.isEmpty)
            #expect(try await world.store.load().resources.map(\.kind) == [.disks], "the device is forgotten")
            let error = await #expect(throws: AgentError.self) {
                try await world.instances.create(try publishing("other", "8080:81", in: world))
            }
            #expect(error?.kind == .alreadyExists && error?.code == "port_in_use")
            #expect(error?.message.contains("'web'") == true && error?.message.contains("8080/tcp") == true)
            #expect(world.instances.list().count == 1)
            let again = try await world.instances.start("web")
            #expect(again.attachment == first.attachment)
            #expect(world.network.attached[again.id] == again.endpoint)
        }
    }

    @Test func deleteFreesAddressAndPorts() async throws {
        try await AgentWorld.with(network: InMemoryNetwork(subnet: "192.0.2.0/30")) { world in
            let request = try publishing("web", "8080:80", "8080:80/udp", in: world)
            for _ in 0..<3 {
                let instance = try await world.instances.create(request)
                #expect(instance.attachment?.address.description == "192.0.2.2", "the only one there is")
                try await world.instances.delete("web")
                #expect(world.network.attached.isEmpty)
                #expect(try await world.store.load().resources.isEmpty)
            }
        }
    }

    @Test func aFullSubnetRefusesTheNextCreateAndLeavesNothing() async throws {
        try await AgentWorld.with(network: InMemoryNetwork(subnet: "192.0.2.0/30")) { world in
            _ = try await world.make("one")
            let error = await #expect(throws: AgentError.self) {
                try await world.instances.create(try publishing("two", "8080:80", in: world))
            }
            #expect(error?.kind == .quotaExceeded && error?.code == "subnet_full")
            var request = try publishing("two", "8080:80", in: world)
            request.publishedPorts = []
            request.networkEnabled = false
            let two = try await world.instances.create(request)
            #expect(two.attachment == nil && world.network.attached[two.id] == nil)
            try await world.instances.delete("one")
            _ = try await world.instances.create(try publishing("three", "8080:80", in: world))
        }
    }

    @Test func moreThanTheNetworkCarriesAreCreatedButNotAttached() async throws {
        try await AgentWorld.with(network: InMemoryNetwork(capacity: 1)) { world in
            _ = try await world.make("one")
            _ = try await world.instances.stop("one")
            _ = try await world.make("two")
            let error = await #expect(throws: AgentError.self) { try await world.instances.start("one") }
            #expect(error?.kind == .quotaExceeded)
            _ = try await world.instances.stop("two")
            _ = try await world.instances.start("one")
        }
    }

    @Test func ofManyCreatesEachHasAnAddressOfItsOwn() async throws {
        try await AgentWorld.with { world in
            let requests = try (0..<40).map { try world.request("n\($0)") }
            let instances = world.instances
            try await withThrowingTaskGroup(of: Void.self) { group in
                for request in requests { group.addTask { _ = try await instances.create(request) } }
                try await group.waitForAll()
            }
            let all = world.instances.list()
            #expect(Set(all.compactMap { $0.attachment?.address }).count == 40)
            #expect(Set(all.compactMap { $0.attachment?.tap }).count == 40)
            #expect(world.network.attached.count == 40)
        }
    }

    @Test func ofManyCreatesWithOnePortOneSucceeds() async throws {
        try await AgentWorld.with { world in
            let requests = try (0..<20).map { try publishing("n\($0)", "8080:80", in: world) }
            let instances = world.instances
            let refusals = await withTaskGroup(of: String?.self) { group in
                for request in requests {
                    group.addTask {
                        do { _ = try await instances.create(request) } catch { return (error as? AgentError)?.code }
                        return nil
                    }
                }
                return await group.reduce(into: []) { $0.append($1) }
            }
            #expect(refusals.filter { $0 == nil }.count == 1)
            #expect(refusals.compactMap { $0 } == Array(repeating: "port_in_use", count: 19))
        }
    }

    // MARK: Requests

    @Test func requestsThatCannotBeMetAreRefusedByName() async throws {
        try await AgentWorld.with { world in
            func refusal(_ change: (inout CreateInstanceRequest) throws -> Void) async throws -> AgentError? {
                var request = try world.request("web")
                try change(&request)
                let asked = request
                return await #expect(throws: AgentError.self) { try await world.instances.create(asked) }
            }
            let port = PublishedPort(hostPort: 80, guestPort: 80)
            let twice = try await refusal { $0.publishedPorts = [port, PublishedPort(hostPort: 80, guestPort: 81)] }
            #expect(twice?.code == "invalid_ports" && twice?.message.contains("80/tcp") == true)
            let zero = try await refusal { $0.publishedPorts = [PublishedPort(hostPort: 0, guestPort: 80)] }
            #expect(zero?.code == "invalid_ports")
            let many = try await refusal {
                $0.publishedPorts = (1...257).map { PublishedPort(hostPort: $0, guestPort: 80) }
            }
            #expect(many?.code == "invalid_ports" && many?.message.contains("257") == true)
            let unconnected = try await refusal {
                $0.publishedPorts = [port]
                $0.networkEnabled = false
            }
            #expect(unconnected?.kind == .invalidArgument && unconnected?.code == "invalid_ports")
            let slow = try await refusal { $0.bandwidth.upload = BitRate(bitsPerSecond: 1) }
            #expect(slow?.code == "invalid_bandwidth_upload" && slow?.message.contains("1bps") == true)
            #expect(world.instances.list().isEmpty)
            #expect(try await world.store.load().lastAddresses.isEmpty)
        }
    }

    @Test func withoutANetworkNothingCanBeAskedOfIt() async throws {
        try await AgentWorld.with { world in
            try await world.restart(subnet: nil)
            #expect(try await world.make("plain").attachment == nil)
            for change in [
                { (request: inout CreateInstanceRequest) in request.networkEnabled = true },
                { $0.publishedPorts = [PublishedPort(hostPort: 80, guestPort: 80)] },
                { $0.bandwidth.download = BitRate(bitsPerSecond: 1_000_000) },
            ] {
                var request = try world.request("web")
                change(&request)
                let asked = request
                let error = await #expect(throws: AgentError.self) { try await world.instances.create(asked) }
                #expect(error?.kind == .notSupported && error?.code == "network_unavailable")
            }
        }
    }

    // MARK: Failures

    @Test func anAttachThatFailsLeavesNothing() async throws {
        try await AgentWorld.with { world in
            let taken = AgentError(.alreadyExists, code: "port_in_use", "nginx listens on 8080")
            world.network.fail(.attach, with: taken)
            let error = await #expect(throws: AgentError.self) { try await world.make("web") }
            #expect(error?.code == "port_in_use")
            #expect(world.instances.list().isEmpty && world.host.running.isEmpty && world.network.attached.isEmpty)
            #expect(try await world.store.load().resources.isEmpty)

            let instance = try await world.make("web")
            _ = try await world.instances.stop("web")
            world.network.fail(.attach, with: taken)
            await #expect(throws: AgentError.self) { try await world.instances.start("web") }
            let stopped = try world.instances.get("web")
            #expect(stopped.state == .stopped && stopped.attachment == instance.attachment)
            #expect(stopped.stateError?.contains("nginx listens") == true)
            #expect(world.network.attached.isEmpty)
            #expect(try await world.store.load().resources.map(\.kind) == [.disks])
            _ = try await world.instances.start("web")
        }
    }

    @Test func aMachineThatDoesNotStartIsDetached() async throws {
        try await AgentWorld.with { world async throws in
            world.host.fail(.start, with: AgentError(.unavailable, "no room"))
            await #expect(throws: AgentError.self) { try await world.make("web") }
            #expect(world.network.attached.isEmpty)
            #expect(try await world.store.load().resources.isEmpty)
        }
    }

    @Test func deleteOvertakesAnAttachThatHangs() async throws {
        try await AgentWorld.with { world in
            world.network.hang(.attach, afterwards: true)
            let create = Task { [world] in try await world.instances.create(try world.request("web")) }
            while world.network.hanging == 0 { await Task.yield() }
            try await world.instances.delete("web")
            await #expect(throws: AgentError.self) { try await create.value }
            #expect(world.network.attached.isEmpty)
            #expect(try await world.store.load().resources.isEmpty)
        }
    }

    @Test func aDeviceThatIsStillThereIsNotGivenToAnother() async throws {
        try await AgentWorld.with { world in
            let instance = try await world.make("web")
            let broken = AgentError(.unavailable, "iptables is gone")
            world.network.fail(.detach, with: broken, times: 2)
            let error = await #expect(throws: AgentError.self) { try await world.instances.delete("web") }
            #expect(error?.message.contains("iptables") == true)
            #expect(try world.instances.get("web").attachment == instance.attachment)
            try await world.instances.delete("web")
            #expect(world.network.attached.isEmpty && world.instances.list().isEmpty)
        }
    }

    // MARK: The host

    @Test func theHostIsLookedAtEveryMinuteAndLostDevicesComeBack() async throws {
        let clock = ManualClock()
        try await AgentWorld.with(time: TimeSource(now: { Date() }, clock: clock)) { world in
            try await world.restart()
            // Before anything else that takes at most a minute.
            while clock.sleepers(for: .seconds(60)) == 0 { await Task.yield() }
            let instance = try await world.make("web")
            let endpoint = try #require(instance.endpoint)
            let before = world.network.reconciliations.count
            world.network.lose(endpoint)
            clock.advance(by: .seconds(60))
            while world.network.reconciliations.count == before { await Task.yield() }
            while world.network.attached.isEmpty { await Task.yield() }
            #expect(world.network.attached[instance.id] == endpoint)
            #expect(world.network.reconciliations.last == [endpoint])
        }
    }

    @Test func theHostIsLookedAtAtOnceWhenItChanges() async throws {
        // Time stands still.
        try await AgentWorld.with(time: TimeSource(now: { Date() }, clock: ManualClock())) { world in
            try await world.restart()
            let instance = try await world.make("web")
            let before = world.network.reconciliations.count
            world.network.tellOfChange()
            while world.network.reconciliations.count == before { await Task.yield() }
            #expect(world.network.reconciliations.last == [try #require(instance.endpoint)])
        }
    }

    @Test func aFailureLaterIsAnEventOnceAndSoIsItsEnd() async throws {
        try await AgentWorld.with { world in
            try await world.restart()
            _ = try await world.make("web")
            world.network.fail(.reconcile, with: AgentError(.invalidState, "the bridge has a foreign address"))
            // A failed attach makes the agent look at the host; the failed look waits for the next one.
            func lookAgain() async throws {
                world.network.fail(.attach, with: AgentError(.unavailable, "no such device"))
                await #expect(throws: AgentError.self) { try await world.make("other") }
            }
            func events() async throws -> [EventDraft] {
                try await world.store.events(after: 0, limit: 1000).map(\.event).filter { $0.kind == .networkState }
            }
            try await lookAgain()
            while try await events().isEmpty { await Task.yield() }
            let count = world.network.reconciliations.count
            try await lookAgain()
            while try await events().count < 2 { await Task.yield() }
            #expect(world.network.reconciliations.count > count)
            let states = try await events()
            #expect(states.map { $0.attributes["state"] } == ["failed", "ready"])
            #expect(states.first?.subject == "default")
            #expect(states.first?.attributes["error"]?.contains("foreign address") == true)
            #expect(try world.instances.get("web").stateError == nil, "it is not the instance's fault")
        }
    }

    @Test func nothingIsRemovedWhileItIsBeingAttached() async throws {
        try await AgentWorld.with { world in
            world.network.hang(.reconcile)
            let instances = world.instances
            let reconcile = Task { try await instances.reconcileNetwork() }
            while world.network.hanging == 0 { await Task.yield() }
            let create = Task { [world] in try await world.make("web") }
            while world.instances.list().first?.boots != 1 { await Task.yield() }
            #expect(world.network.attached.isEmpty, "the attach waits")
            reconcile.cancel()
            await #expect(throws: (any Error).self) { try await reconcile.value }
            let instance = try await create.value
            try await world.instances.reconcileNetwork()
            #expect(world.network.attached[instance.id] == instance.endpoint)
        }
    }

    @Test func usageIsTheMachinesAndTheDevices() async throws {
        try await AgentWorld.with { world in
            let instance = try await world.make("web")
            let counters = NetworkCounters(receivedBytes: 7, receivedPackets: 1, sentBytes: 9, sentPackets: 2)
            world.network.count(counters, for: try #require(instance.attachment))
            let usage = try await world.instances.usage("web")
            #expect(usage.network == counters)
            #expect(usage.machine?.cpuTime == .milliseconds(1500))
            _ = try await world.instances.stop("web")
            let idle = try await world.instances.usage("web")
            #expect(idle.machine == nil && idle.network == nil && idle.instance.id == instance.id)
        }
    }
}

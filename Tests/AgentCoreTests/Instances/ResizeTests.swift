import AgentCore
import AgentTestSupport
import Foundation
import Testing

@Suite struct ResizeTests {
    private static let large = UpdateInstanceRequest(vcpus: 3, memory: .gibibytes(2))

    /// One of two vCPUs and 1 GiB, with room for four and 3 GiB.
    private static func make(_ world: AgentWorld) async throws -> Instance {
        var request = try world.request("web")
        request.maximumVCPUs = 4
        request.memoryRoom = .gibibytes(2)
        let instance = try await world.instances.create(request)
        let running = try await world.wait(instance.id, for: .running)
        try await world.awaitChannel(running)
        return running
    }

    @Test func aRunningInstanceIsResizedAndKeepsItOverStandbyAndTheAgentsEnd() async throws {
        try await AgentWorld.with { world in
            let instance = try await Self.make(world)
            let largest = MachineSize(vcpus: 4, memory: .gibibytes(3))
            #expect(instance.description?.largestSize == largest)
            let resized = try await world.instances.update("web", Self.large)
            let size = MachineSize(vcpus: 3, memory: .gibibytes(2))
            #expect(resized.specification.size == size && resized.specification.largestSize == largest)
            #expect(resized.description?.resized == size && resized.resizing == nil && resized.state == .running)
            #expect(try await world.instances.usage("web").machine?.size == size)
            try await world.restart()
            #expect(try await world.wait(instance.id, for: .running).description?.resized == size)
            _ = try await world.instances.standby("web")
            let restored = try await world.instances.restore("web")
            #expect(restored.description?.resized == size && restored.specification.size == size)
            _ = try await world.instances.stop("web")
            let started = try await world.instances.start("web")
            #expect(started.description?.size == size && started.description?.largestSize == largest)
        }
    }

    @Test func beyondItsRoomItIsRefusedWithTheBounds() async throws {
        try await AgentWorld.with { world in
            let instance = try await Self.make(world)
            for request in [
                UpdateInstanceRequest(memory: .mebibytes(3584)), UpdateInstanceRequest(memory: .mebibytes(512)),
            ] {
                let error = await #expect(throws: AgentError.self) { try await world.instances.update("web", request) }
                #expect(error?.code == "no_room")
                #expect(error?.message.contains("4 vCPUs and 3.0 GB") == true, "\(String(describing: error))")
            }
            let error = await #expect(throws: AgentError.self) {
                try await world.instances.update("web", UpdateInstanceRequest(vcpus: 5))
            }
            #expect(error?.kind == .quotaExceeded)
            #expect(try world.instances.get("web").specification == instance.specification)
            #expect(!world.host.calls.contains { $0.call == .resize })
        }
    }

    @Test func aStoppedInstanceHasItsSizeFromTheNextStartOn() async throws {
        try await AgentWorld.with { world in
            _ = try await world.make("web")
            _ = try await world.instances.stop("web")
            #expect(try await world.instances.update("web", Self.large).specification.memory == .gibibytes(2))
            let started = try await world.instances.start("web")
            #expect(started.description?.size == MachineSize(vcpus: 3, memory: .gibibytes(2)))
            #expect(started.description?.largestSize == nil, "without room nothing is kept for it")
        }
    }

    @Test func pausedAndInStandbyItIsRefused() async throws {
        try await AgentWorld.with { world in
            _ = try await Self.make(world)
            _ = try await world.instances.pause("web")
            await #expect(throws: AgentError.self) { try await world.instances.update("web", Self.large) }
            _ = try await world.instances.standby("web")
            let error = await #expect(throws: AgentError.self) { try await world.instances.update("web", Self.large) }
            #expect(error?.kind == .invalidState && error?.message.contains("Running or Stopped") == true)
        }
    }

    @Test func whatTheMachineHasCountsWhenItsResizeFails() async throws {
        try await AgentWorld.with { world in
            let instance = try await Self.make(world)
            world.host.fail(.resize, with: AgentError(.timeout, "the guest does not let go"))
            let error = await #expect(throws: AgentError.self) { try await world.instances.update("web", Self.large) }
            #expect(error?.kind == .timeout)
            let after = try world.instances.get("web")
            #expect(after.resizing == nil && after.specification == instance.specification)
            #expect(try await world.instances.update("web", Self.large).specification.vcpus == 3)
        }
    }

    @Test func anAgentThatEndsInBetweenAsksTheMachine() async throws {
        try await AgentWorld.with { world in
            let instance = try await Self.make(world)
            world.host.hang(.resize)
            let update = Task { [instances = world.instances] in
                try await instances.update("web", Self.large)
            }
            while try world.instances.get("web").resizing == nil { await Task.yield() }
            try await world.restart()
            _ = try? await update.value
            let after = try await world.wait(instance.id, for: .running)
            #expect(after.resizing == nil && after.specification.size == instance.specification.size)
        }
    }

    @Test func theCustomaryRoomIsCutAndAnyOtherRefused() async throws {
        try await AgentWorld.with { world in
            var request = try world.request("old")
            request.memory = .gibibytes(2)
            request.memoryRoom = .gibibytes(3)
            #expect(try await world.instances.create(request).specification.largestMemory == .gibibytes(4))
            request.name = try InstanceName("new")
            request.memoryRoom = .mebibytes(3073)
            var error = await #expect(throws: AgentError.self) { try await world.instances.create(request) }
            #expect(error?.kind == .quotaExceeded)
            request.memoryRoom = nil
            request.maximumVCPUs = 1
            error = await #expect(throws: AgentError.self) { try await world.instances.create(request) }
            #expect(error?.code == "invalid_max_vcpus")
        }
    }

    @Test func rootAndOverlayShareTheirLimit() async throws {
        try await AgentWorld.with { world in
            var request = try world.request("web")
            request.diskRate = .mebibytes(100)
            let disks = try await world.instances.create(request).description?.disks ?? []
            let limited = disks.filter { $0.rateLimit == .mebibytes(100) }
            #expect(limited.map(\.serial) == ["rootfs", "overlay"])
            #expect(Set(limited.map(\.rateGroup)).count == 1 && limited.first?.rateGroup != nil)
            request.name = try InstanceName("slow")
            request.diskRate = .kibibytes(1)
            let error = await #expect(throws: AgentError.self) { try await world.instances.create(request) }
            #expect(error?.code == "invalid_disk_io_bps")
        }
    }
}

import AgentCore
import AgentTestSupport
import Testing

/// The sums that instances may take of the host.
@Suite struct AdmissionTests {
    private static let total = MachineSize(vcpus: 4, memory: .gibibytes(3))

    private static func refusal(_ body: () async throws -> Void) async -> AgentError? {
        await #expect(throws: AgentError.self) { try await body() }
    }

    @Test func aCreateBeyondTheSumIsRefusedWithWhoHoldsIt() async throws {
        try await AgentWorld.with(total: Self.total) { world in
            _ = try await world.make("one")
            _ = try await world.make("two")
            let error = await Self.refusal { _ = try await world.make("three") }
            #expect(error?.kind == .quotaExceeded && error?.code == "resources_exhausted")
            let message = error?.message ?? ""
            #expect(message.contains("2 vCPUs") && message.contains("the 0 that is left of the 4"), "\(message)")
            #expect(message.contains("one 2, two 2"), "\(message)")
            #expect(world.instances.list().count == 2)
        }
    }

    @Test func whatIsStoppedOrInStandbyHoldsNothingAndIsAdmittedAgain() async throws {
        try await AgentWorld.with(total: Self.total) { world in
            _ = try await world.make("one")
            let two = try await world.make("two")
            try await world.awaitChannel(two)
            _ = try await world.instances.stop("one")
            _ = try await world.instances.standby("two")
            _ = try await world.make("three")
            _ = try await world.make("four")
            var error = await Self.refusal { _ = try await world.instances.start("one") }
            #expect(error?.code == "resources_exhausted")
            #expect(try world.instances.get("one").state == .stopped)
            error = await Self.refusal { _ = try await world.instances.restore("two") }
            #expect(error?.code == "resources_exhausted")
            #expect(try world.instances.get("two").state == .standby)
            try await world.instances.delete("three")
            #expect(try await world.instances.restore("two").state == .running)
        }
    }

    @Test func aResizeIsAdmittedToo() async throws {
        try await AgentWorld.with(total: Self.total) { world in
            var request = try world.request("one")
            request.maximumVCPUs = 4
            request.memoryRoom = .gibibytes(3)
            let instance = try await world.instances.create(request)
            _ = try await world.wait(instance.id, for: .running)
            _ = try await world.make("two")
            let error = await Self.refusal {
                _ = try await world.instances.update("one", UpdateInstanceRequest(memory: .mebibytes(2560)))
            }
            #expect(error?.message.contains("MAX_TOTAL_MEMORY") == true, "\(String(describing: error))")
            let larger = try await world.instances.update("one", UpdateInstanceRequest(memory: .gibibytes(2)))
            #expect(larger.specification.memory == .gibibytes(2))
            let small = UpdateInstanceRequest(memory: .gibibytes(1))
            #expect(try await world.instances.update("one", small).state == .running)
        }
    }

    @Test func ofManyAtOnceNoMoreAreAdmittedThanThereIsRoomFor() async throws {
        try await AgentWorld.with(total: Self.total) { world in
            let instances = world.instances
            let requests = try (0..<8).map { try world.request("i\($0)") }
            let admitted = await withTaskGroup(of: Bool.self) { group in
                for request in requests { group.addTask { (try? await instances.create(request)) != nil } }
                return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
            }
            #expect(admitted == 2)
        }
    }
}

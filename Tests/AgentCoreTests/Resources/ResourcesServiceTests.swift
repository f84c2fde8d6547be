import AgentCore
import AgentTestSupport
import Testing

@Suite struct ResourcesServiceTests {
    private func report(
        _ world: AgentWorld,
        uplink: BitRate? = nil,
        limit: BitRate? = nil
    ) async throws -> ResourcesReport {
        try await world.resources(uplink: uplink, limit: limit, oversubscription: 2).report()
    }

    @Test func whatRunsIsCountedAndOfWhatIsStoppedTheDisk() async throws {
        try await AgentWorld.with { world in
            var request = try world.request("web")
            request.bandwidth = BandwidthLimits(
                download: BitRate(bitsPerSecond: 80_000_000),
                upload: BitRate(bitsPerSecond: 8_000_000)
            )
            _ = try await world.instances.create(request)
            _ = try await world.make("free")
            let running = try await report(world, limit: BitRate(bitsPerSecond: 800_000_000))
            #expect(running.processors.allocated == 4 && running.processors.available == 0)
            #expect(running.memory.allocated == 2 << 30)
            #expect(running.network.capacity == 100_000_000 && running.network.source == .configured)
            #expect(running.network.effectiveLimit == 200_000_000)
            #expect(running.network.allocated == 10_000_000, "the greater of both, and none of the one without limits")
            #expect(running.overlays == .gibibytes(20))
            #expect(running.disk.allocated == running.overlays.bytes + running.images.bytes)
            #expect(running.allocations.map(\.name.rawValue) == ["web", "free"])
            _ = try await world.instances.stop("web")
            let stopped = try await report(world, limit: BitRate(bitsPerSecond: 800_000_000))
            #expect(stopped.processors.allocated == 2)
            #expect(stopped.network.allocated == 0)
            #expect(stopped.overlays == .gibibytes(20))
        }
    }

    @Test func theUplinksSpeedIsTheCapacityUnlessOneIsConfigured() async throws {
        try await AgentWorld.with { world in
            let detected = try await report(world, uplink: BitRate(bitsPerSecond: 1_000_000_000)).network
            #expect(detected.capacity == 125_000_000 && detected.source == .detected)
            let unknown = try await report(world).network
            #expect(unknown.capacity == 0 && unknown.source == .unknown && unknown.available == 0)
        }
    }

    @Test func moreThanThereIsLeavesNothing() {
        let status = ResourceStatus(capacity: 4, source: .detected, oversubscription: 1.5, allocated: 9)
        #expect(status.effectiveLimit == 6)
        #expect(status.available == 0)
        #expect(ResourceStatus(capacity: .max, source: .detected, oversubscription: 2, allocated: 0).available == .max)
    }
}

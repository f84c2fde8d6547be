import AgentCore
import AgentTestSupport
import Testing

@Suite struct DiskUsageTests {
    @Test func whatIsInUseIsActiveAndTheRestReclaimable() async throws {
        try await AgentWorld.with { world in
            let (twin, other) = (try ImageReference("twin:1"), try ImageReference("other:1"))
            for (name, digest) in [(twin, Fixtures.digest()), (other, Fixtures.digest("b"))] {
                world.pictures.publish(
                    FetchedImage(digest: digest, configuration: ImageConfiguration(), layers: []),
                    as: name
                )
                _ = try await world.images.pull(name)
                _ = try await world.images.wait(name)
            }
            _ = try await world.make("web")
            _ = try await world.make("off")
            _ = try await world.instances.stop("off")
            let report = try await world.resources().diskUsage()
            #expect(report.images == .init(count: 2, active: 1, size: .mebibytes(8), reclaimable: .mebibytes(4)))
            #expect(report.overlays == .init(count: 2, active: 1, size: .mebibytes(2), reclaimable: .mebibytes(1)))
            #expect(report.downloads.reclaimable.bytes == 0)
            #expect(report.imageList.map(\.name) == [other, try ImageReference("test"), twin].map(\.description))
            #expect(report.imageList.map(\.shared) == [.mebibytes(0), .mebibytes(4), .mebibytes(4)])
            #expect(report.imageList.map(\.unique) == [.mebibytes(4), .mebibytes(0), .mebibytes(0)])
            #expect(report.imageList.map(\.instances) == [0, 2, 2])
            #expect(report.instanceList.map(\.name.rawValue) == ["web", "off"])
        }
    }
}

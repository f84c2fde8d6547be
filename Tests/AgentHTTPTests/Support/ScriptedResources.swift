import AgentCore
import AgentHTTP
import AgentTestSupport

/// A host with one instance on it.
struct ScriptedResources: ResourceOperations {
    func diskUsage() async throws -> DiskUsageReport {
        let instance = Fixtures.instance("web", at: "10.100.0.2")
        var report = DiskUsageReport()
        report.images = .init(count: 2, active: 1, size: .mebibytes(6), reclaimable: .mebibytes(2))
        report.imageLimit = .gibibytes(1)
        report.imageList = [
            .init(
                name: "docker.io/library/web:1",
                digest: Fixtures.digest(),
                createdAt: Fixtures.time,
                size: .mebibytes(4),
                shared: .mebibytes(1),
                instances: 1
            )
        ]
        report.instanceList = [
            .init(
                id: instance.id,
                name: instance.name,
                state: .running,
                overlay: .mebibytes(3),
                logs: .kibibytes(5)
            )
        ]
        return report
    }

    func report() async throws -> ResourcesReport {
        var instance = Fixtures.instance("web", at: "10.100.0.2")
        instance.state = .running
        instance.specification.bandwidth.download = BitRate(bitsPerSecond: 10_000_000)
        return ResourcesReport(
            processors: ResourceStatus(capacity: 8, source: .detected, allocated: 2),
            memory: ResourceStatus(capacity: 16 << 30, source: .detected, allocated: 256 << 20),
            disk: ResourceStatus(capacity: 100 << 30, source: .detected, allocated: 1 << 30),
            network: ResourceStatus(
                capacity: 125_000_000,
                source: .configured,
                oversubscription: 2,
                allocated: 1_250_000
            ),
            images: .mebibytes(4),
            overlays: .gibibytes(1),
            allocations: [ResourceAllocation(instance)]
        )
    }
}

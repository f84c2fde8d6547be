import AgentAPI
import AgentCore
import HTTPTypes
import HummingbirdCore

/// What the host has, and who has it.
struct ResourceRoute: Sendable {
    let resources: any ResourceOperations

    /// Names instances, so it is for those who may see them.
    var route: Route {
        Route(.getResources) { call in
            try call.query.check(only: [])
            return try .cacheable(ResourcesResponse(try await resources.report()), for: call)
        }
    }
}

extension ResourcesResponse {
    init(_ report: ResourcesReport) {
        self.init(
            cpu: Status(report.processors, type: "cpu"),
            memory: Status(report.memory, type: "memory"),
            disk: Status(report.disk, type: "disk"),
            network: Status(report.network, type: "network"),
            diskBreakdown: DiskBreakdown(
                images: report.images.bytes,
                overlays: report.overlays.bytes,
                volumes: report.volumes.bytes
            ),
            allocations: report.allocations.map(Allocation.init)
        )
    }
}

extension ResourcesResponse.Status {
    init(_ status: ResourceStatus, type: String) {
        self.init(
            type: type,
            capacity: status.capacity,
            effectiveLimit: status.effectiveLimit,
            allocated: status.allocated,
            available: status.available,
            oversubscription: status.oversubscription,
            source: status.source.rawValue
        )
    }
}

extension ResourcesResponse.Allocation {
    init(_ allocation: ResourceAllocation) {
        self.init(
            instanceID: allocation.instance.rawValue,
            instanceName: allocation.name.rawValue,
            cpu: allocation.vcpus,
            memory: allocation.memory.bytes,
            disk: allocation.disk.bytes
        )
        download = allocation.bandwidth.download?.bytesPerSecond
        upload = allocation.bandwidth.upload?.bytesPerSecond
    }
}

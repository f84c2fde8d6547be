import AgentCore
import DBus

/// What the host has, and who has it.
extension ManagerObject {
    var resourceMembers: [Interface.Member] {
        [
            .method("GetResources", returns: ["resources", "allocations"]) { (_: Call) in
                try await answering {
                    let report = try await resources.report()
                    return (Self.statuses(report), Self.allocations(report))
                }
            },
            .method("GetDiskUsage", returns: ["usage", "objects"]) { (_: Call) in
                try await answering {
                    let report = try await resources.diskUsage()
                    return (Self.categories(report), Self.objects(report))
                }
            },
        ]
    }

    private static func statuses(_ report: ResourcesReport) -> [String: [String: Variant]] {
        func values(_ status: ResourceStatus) -> [String: Variant] {
            [
                "Capacity": number(status.capacity), "Limit": number(status.effectiveLimit),
                "Allocated": number(status.allocated), "Available": number(status.available),
                "Oversubscription": Variant(.double(status.oversubscription)),
                "Source": Variant(.string(status.source.rawValue)),
            ]
        }
        return [
            "CPU": values(report.processors), "Memory": values(report.memory), "Disk": values(report.disk),
            "Network": values(report.network),
        ]
    }

    private static func allocations(_ report: ResourcesReport) -> [ObjectPath: [String: Variant]] {
        var all: [ObjectPath: [String: Variant]] = [:]
        for allocation in report.allocations {
            var values = [
                "VCPUs": Variant(.uint32(UInt32(clamping: allocation.vcpus))),
                "Memory": size(allocation.memory), "Disk": size(allocation.disk),
            ]
            values["BandwidthDownload"] = allocation.bandwidth.download.map { number($0.bytesPerSecond) }
            values["BandwidthUpload"] = allocation.bandwidth.upload.map { number($0.bytesPerSecond) }
            all[.instance(allocation.instance)] = values
        }
        return all
    }

    private static func categories(_ report: DiskUsageReport) -> [String: [String: Variant]] {
        func values(_ category: DiskUsageReport.Category) -> [String: Variant] {
            [
                "Count": number(category.count), "Active": number(category.active), "Size": size(category.size),
                "Reclaimable": size(category.reclaimable),
            ]
        }
        var images = values(report.images)
        images["Limit"] = report.imageLimit.map(size)
        return [
            "Images": images, "Downloads": values(report.downloads), "Overlays": values(report.overlays),
            "Volumes": values(report.volumes), "Logs": values(report.logs),
        ]
    }

    private static func objects(_ report: DiskUsageReport) -> [ObjectPath: [String: Variant]] {
        var all: [ObjectPath: [String: Variant]] = [:]
        for image in report.imageList {
            all[.image(image.name)] = ["Size": size(image.size), "Shared": size(image.shared)]
        }
        for instance in report.instanceList {
            all[.instance(instance.id)] = ["Overlay": size(instance.overlay), "Logs": size(instance.logs)]
        }
        for volume in report.volumeList { all[.volume(volume.id)] = ["Used": size(volume.used)] }
        return all
    }

    private static func number(_ value: Int) -> Variant { Variant(.uint64(UInt64(clamping: value))) }
    static func size(_ value: ByteSize) -> Variant { number(value.bytes) }
}

extension ResourcesService {
    /// What images, instances and volumes take of the host's disk, as it is now.
    ///
    /// - Throws: What the stores say.
    public func diskUsage() async throws -> DiskUsageReport {
        let stored = try await imageStore.usage()
        let all = instances.all()
        let users = Dictionary(grouping: all, by: \.specification.imageDigest).mapValues(\.count)
        var report = DiskUsageReport()
        report.imageLimit = stored.limit
        for (digest, size) in stored.disks { report.images.add(size, isActive: users[digest] != nil) }
        report.downloads = try await downloads(stored)

        let names = images.list()
        let counts = Dictionary(grouping: names, by: \.digest).mapValues(\.count)
        report.imageList = names.map { image in
            let size = stored.disks[image.digest] ?? ByteSize(bytes: 0)
            return DiskUsageReport.ImageUsage(
                name: image.name,
                digest: image.digest,
                createdAt: image.createdAt,
                size: size,
                shared: counts[image.digest] == 1 ? ByteSize(bytes: 0) : size,
                instances: users[image.digest] ?? 0
            )
        }
        for instance in all {
            let usage = DiskUsageReport.InstanceUsage(
                id: instance.id,
                name: instance.name,
                state: instance.state,
                overlay: try await disks.usage(of: instance.id),
                logs: try await logs.usage(of: instance.id)
            )
            let isActive = instance.state != .stopped
            report.overlays.add(usage.overlay, isActive: isActive)
            report.logs.add(usage.logs, isActive: isActive)
            report.instanceList.append(usage)
        }
        for volume in volumes.list() {
            let used = try await volumes.usage(of: volume.id)
            report.volumes.add(used, isActive: !volume.attachments.isEmpty)
            report.volumeList.append(
                DiskUsageReport.VolumeUsage(
                    id: volume.id,
                    name: volume.name,
                    size: volume.size,
                    used: used,
                    instances: volume.attachments.count
                )
            )
        }
        return report
    }

    private func downloads(_ stored: ImageStorageUsage) async throws -> DiskUsageReport.Category {
        let needed = images.neededDigests()
        let removable = try await imageStore.removable(except: needed)
        let disks = stored.disks.filter { !needed.contains($0.key) }.values.reduce(0) { $0 + $1.bytes }
        return DiskUsageReport.Category(
            count: stored.blobCount + stored.incomingCount,
            active: stored.incomingCount,
            size: ByteSize(bytes: stored.blobs.bytes + stored.incoming.bytes),
            // Between the two looks something may have gone.
            reclaimable: ByteSize(bytes: max(0, removable.bytes - disks))
        )
    }
}

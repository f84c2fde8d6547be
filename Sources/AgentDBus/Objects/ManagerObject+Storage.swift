import AgentCore
import DBus
import NIOPosix

/// Volumes, snapshots and networks.
extension ManagerObject {
    var storageMembers: [Interface.Member] {
        [
            .method("ListVolumes", ["filter"], returns: ["volumes"]) { (_: Call, filter: [String: Variant]) in
                try await answering {
                    volumes.list(try VolumeFilter(filter)).map { volume in
                        ListEntry(
                            .volume(volume.id),
                            volume.name.rawValue,
                            ObjectTables.volume.values(ObjectTables.listedOfVolumes, of: volume)
                        )
                    }
                }
            },
            .method("GetVolume", ["reference"], returns: ["volume"]) { (_: Call, reference: String) in
                try await answering { ObjectPath.volume(try volumes.get(reference).id) }
            },
            .method("CreateVolume", ["specification"], returns: ["volume"]) {
                (_: Call, specification: [String: Variant]) in
                try await answering {
                    let volume = try await volumes.create(try CreateVolumeRequest(specification))
                    await published.show(volume.id)
                    return ObjectPath.volume(volume.id)
                }
            },
            .method("ImportVolume", ["archive", "specification", "flags"], returns: ["volume", "operation"]) {
                (call: Call, archive: UnixDescriptor, specification: [String: Variant], flags: UInt64) in
                try await answering { try await take(call, archive, volume: specification, try CallFlags(flags)) }
            },
            .method("ListSnapshots", ["filter"], returns: ["snapshots"]) { (_: Call, filter: [String: Variant]) in
                try await answering {
                    instances.snapshots(try SnapshotFilter(filter)).map { snapshot in
                        ListEntry(
                            .snapshot(snapshot.id),
                            snapshot.name?.rawValue ?? "",
                            ObjectTables.snapshot.values(ObjectTables.listedOfSnapshots, of: snapshot)
                        )
                    }
                }
            },
            .method("GetSnapshot", ["reference"], returns: ["snapshot"]) { (_: Call, reference: String) in
                try await answering { ObjectPath.snapshot(try instances.snapshot(reference).id) }
            },
            .method("ListNetworks", returns: ["networks"]) { (_: Call) in
                network.network.map { [NetworkObject.entry($0)] } ?? []
            },
        ]
    }

    /// Answers once it is known that there can be such a volume; it is there when the operation has ended.
    private func take(
        _ call: Call,
        _ archive: UnixDescriptor,
        volume specification: [String: Variant],
        _ flags: CallFlags
    ) async throws -> (ObjectPath, ObjectPath) {
        var request = try CreateVolumeRequest(specification)
        let id = request.id ?? .random()
        request.id = id
        try volumes.check(request)
        let destination = VolumeArchives(volumes: volumes, size: request.size)
        let intake = ArchiveIntake(destination: destination, threads: .singleton, logger: logger)
        let source = try await intake.source(archive)
        let operation = try await operations.begin("import", for: call, on: .volume(id)) { [request] _ in
            _ = try await volumes.create(request, from: try await intake.receive(source))
        }
        if flags.waits { try await operations.wait(operation) }
        return (ObjectPath.volume(id), operation)
    }
}

import AgentAPI
import AgentCore
import HTTPTypes
import HummingbirdCore
import NIOCore
import NIOPosix
import Uploads

/// Volumes, and which instances have them.
struct VolumeRoutes: Sendable {
    let volumes: any VolumeOperations
    let instances: any InstanceOperations
    let threads: NIOThreadPool

    var routes: [Route] { collection + item + ofInstances }

    private var collection: [Route] {
        [
            Route(.listVolumes) { call in
                try call.query.check(only: ["name", "tags"])
                var filter = VolumeFilter()
                filter.tags = try call.query.tags()
                if let name = call.query["name"], !name.isEmpty { filter.name = name }
                return try .cacheable(volumes.list(filter).map(VolumeResponse.init), for: call)
            },
            Route(.createVolume, consumes: .bytes) { call in
                try call.query.check(only: [])
                let type = call.headers[.contentType] ?? ""
                switch type.prefix(while: { $0 != ";" }).filter({ $0 != " " }).lowercased() {
                case "", "application/json":
                    let request = try CreateVolumeRequest(try CreateVolumeBody(try await call.body.fields()))
                    let volume = try await volumes.create(request, from: nil)
                    return try .json(VolumeResponse(volume), status: .created)
                case "multipart/form-data":
                    let form = try VolumeForm(contentType: type, volumes: volumes, threads: threads)
                    return try .json(VolumeResponse(try await form.receive(call)), status: .created)
                default:
                    throw TransportError.unsupportedMediaType("application/json or multipart/form-data", got: type)
                }
            },
            Route(.importVolume, consumes: .bytes) { call in
                try call.query.check(only: ["name", "size_gb", "id", "tags"])
                return try .json(VolumeResponse(try await receiveArchive(call)), status: .created)
            },
        ]
    }

    private var item: [Route] {
        [
            Route(.getVolume) { call in
                try call.query.check(only: [])
                return try .cacheable(VolumeResponse(try volumes.get(call.subject)), for: call)
            },
            Route(.growVolume, consumes: .json) { call in
                try call.query.check(only: [])
                let body = try UpdateVolumeBody(try await call.body.fields())
                let size = try ByteSize(volumeGigabytes: body.size)
                return try .json(VolumeResponse(try await volumes.grow(call.subject, to: size)))
            },
            Route(.deleteVolume) { call in
                try call.query.check(only: [])
                try await volumes.delete(call.subject)
                return .empty
            },
        ]
    }

    private var ofInstances: [Route] {
        [
            Route(.attachVolume, consumes: .json) { call in
                try call.query.check(only: [])
                let body = try AttachVolumeBody(try await call.body.fields())
                let request = VolumeMountRequest(
                    volume: call.parameters.last ?? "",
                    path: try MountPath(body.mountPath),
                    readOnly: body.readonly ?? false
                )
                return try .json(InstanceResponse(try await instances.attachVolume(call.subject, request)))
            },
            Route(.detachVolume) { call in
                try call.query.check(only: [])
                let instance = try await instances.detachVolume(call.subject, volume: call.parameters.last ?? "")
                return try .json(InstanceResponse(instance))
            },
        ]
    }

    private func receiveArchive(_ call: Call) async throws -> Volume {
        guard let name = call.query["name"], let size = call.query["size_gb"] else {
            throw AgentError(
                .invalidArgument,
                code: "missing_field",
                "the query parameters 'name' and 'size_gb' are required"
            )
        }
        let request = try CreateVolumeRequest(
            name: name,
            size: try VolumeForm.gigabytes(size),
            id: call.query["id"],
            tags: try call.query.tags()
        )
        // Now, and not when gigabytes have been received.
        try volumes.check(request)
        guard !call.body.isAtEnd else {
            throw AgentError(
                .invalidArgument,
                code: "missing_file",
                "the body is empty: send a tar archive, as it is or compressed with gzip or zstd, as the body"
            )
        }
        var bound = VolumeArchiveBound(volume: request.size)
        try bound.check(call.body.announcedLength ?? 0)
        let archive = try await volumes.newArchiveFile()
        do {
            try await UploadFile.with(archive, on: threads) { file in
                try await call.body.forEachChunk { chunk in
                    try bound.take(chunk.readableBytes)
                    try await file.append(chunk.readableBytesView)
                }
            }
        } catch {
            await volumes.discard(archive)
            throw error
        }
        return try await volumes.create(request, from: archive)
    }
}

import AgentAPI
import AgentCore

extension CreateVolumeRequest {
    /// What a client asked for, each field checked.
    init(_ body: CreateVolumeBody) throws(AgentError) {
        try self.init(name: body.name, size: body.size, id: body.id, tags: body.tags ?? [:])
    }

    init(name: String, size: Int, id: String?, tags: [String: String]) throws(AgentError) {
        self.init(
            name: try VolumeName(name),
            size: try ByteSize(volumeGigabytes: size),
            id: try id.flatMap { text throws(AgentError) in text.isEmpty ? nil : try VolumeID(text) },
            tags: tags
        )
    }
}

extension ByteSize {
    /// What clients write as `size_gb`, which are GiB.
    ///
    /// - Throws: `invalidArgument` `invalid_size`.
    init(volumeGigabytes count: Int) throws(AgentError) {
        guard (1...1 << 20).contains(count) else {
            throw AgentError(.invalidArgument, code: "invalid_size", "size_gb is \(count); it must be 1 or more")
        }
        self = .gibibytes(count)
    }
}

extension VolumeMountRequest {
    init(_ body: VolumeMountBody) throws(AgentError) {
        var overlay: ByteSize?
        if body.overlay == true {
            guard let text = body.overlaySize, let size = ByteSize(text), size.bytes > 0 else {
                throw Self.invalidOverlay(
                    "overlay_size '\((body.overlaySize ?? "").prefix(100))' of volume '\(body.volumeID.prefix(80))' is not a "
                        + "size: write a whole number and a unit, as 512MB or 10GB"
                )
            }
            guard body.readonly == true else {
                throw Self.invalidOverlay(
                    "the overlay over volume '\(body.volumeID.prefix(80))' needs readonly to be true"
                )
            }
            overlay = size
        } else if let text = body.overlaySize, !text.isEmpty {
            throw Self.invalidOverlay("overlay_size of volume '\(body.volumeID.prefix(80))' needs overlay to be true")
        }
        self.init(
            volume: body.volumeID,
            path: try MountPath(body.mountPath),
            readOnly: body.readonly ?? false,
            overlaySize: overlay
        )
    }

    private static func invalidOverlay(_ message: String) -> AgentError {
        AgentError(.invalidArgument, code: "invalid_volume_overlay", message)
    }
}

extension VolumeMountBody {
    init(_ mount: VolumeMount) {
        self.init(
            volumeID: mount.volume.rawValue,
            mountPath: mount.path.rawValue,
            readonly: mount.readOnly,
            overlay: mount.overlaySize == nil ? nil : true,
            overlaySize: mount.overlaySize?.description
        )
    }
}

extension VolumeResponse {
    init(_ volume: Volume) {
        self.init(
            id: volume.id.rawValue,
            name: volume.name.rawValue,
            // One that was made otherwise may have a part of one.
            size: (volume.size.bytes + (1 << 30) - 1) >> 30,
            tags: volume.tags.isEmpty ? nil : volume.tags,
            createdAt: volume.createdAt,
            attachments: volume.attachments.isEmpty
                ? nil
                : volume.attachments.map {
                    Attachment(
                        instanceID: $0.instance.rawValue,
                        instanceName: $0.instanceName.rawValue,
                        mountPath: $0.path.rawValue,
                        readonly: $0.readOnly
                    )
                }
        )
    }
}

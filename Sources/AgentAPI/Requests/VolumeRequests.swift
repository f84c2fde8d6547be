/// The JSON body of `POST /volumes`.
public struct CreateVolumeBody: Encodable, Sendable, Hashable {
    public var name: String
    /// In GiB.
    public var size: Int
    public var id: String?
    public var tags: [String: String]?

    enum CodingKeys: String, CodingKey {
        case name, id, tags
        case size = "size_gb"
    }

    public init(name: String, size: Int, id: String? = nil, tags: [String: String]? = nil) {
        self.name = name
        self.size = size
        self.id = id
        self.tags = tags
    }

    /// Reads a request.
    public init(_ reader: FieldReader) throws(FieldError) {
        var reader = reader
        name = try reader.requiredString("name")
        size = try reader.requiredInteger("size_gb")
        id = try reader.string("id")
        tags = try reader.dictionary("tags")
        try reader.finish()
    }
}

/// The body of `PATCH /volumes/{id}`; this agent's own.
public struct UpdateVolumeBody: Encodable, Sendable, Hashable {
    /// In GiB.
    public var size: Int

    enum CodingKeys: String, CodingKey {
        case size = "size_gb"
    }

    public init(size: Int) { self.size = size }

    /// Reads a request.
    public init(_ reader: FieldReader) throws(FieldError) {
        var reader = reader
        size = try reader.requiredInteger("size_gb")
        try reader.finish()
    }
}

/// The body of `POST /instances/{id}/volumes/{volumeId}`.
public struct AttachVolumeBody: Encodable, Sendable, Hashable {
    public var mountPath: String
    public var readonly: Bool?

    enum CodingKeys: String, CodingKey {
        case readonly
        case mountPath = "mount_path"
    }

    public init(mountPath: String, readonly: Bool? = nil) {
        self.mountPath = mountPath
        self.readonly = readonly
    }

    /// Reads a request.
    public init(_ reader: FieldReader) throws(FieldError) {
        var reader = reader
        mountPath = try reader.requiredString("mount_path")
        readonly = try reader.boolean("readonly")
        try reader.finish()
    }
}

/// A volume of an instance, in requests and answers alike.
public struct VolumeMountBody: Codable, Sendable, Hashable {
    public var volumeID: String
    public var mountPath: String
    public var readonly: Bool?
    /// Whether the instance has a disk of its own over the volume, which it has read-only then.
    public var overlay: Bool?
    /// Of that disk, as `10GB`.
    public var overlaySize: String?

    enum CodingKeys: String, CodingKey {
        case readonly, overlay
        case volumeID = "volume_id"
        case mountPath = "mount_path"
        case overlaySize = "overlay_size"
    }

    public init(
        volumeID: String,
        mountPath: String,
        readonly: Bool? = nil,
        overlay: Bool? = nil,
        overlaySize: String? = nil
    ) {
        self.volumeID = volumeID
        self.mountPath = mountPath
        self.readonly = readonly
        self.overlay = overlay
        self.overlaySize = overlaySize
    }

    /// Reads one of a request.
    init(_ reader: FieldReader) throws(FieldError) {
        var reader = reader
        volumeID = try reader.requiredString("volume_id")
        mountPath = try reader.requiredString("mount_path")
        readonly = try reader.boolean("readonly")
        overlay = try reader.boolean("overlay")
        overlaySize = try reader.string("overlay_size")
        try reader.finish()
    }
}

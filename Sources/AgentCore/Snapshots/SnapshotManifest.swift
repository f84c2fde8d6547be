public import struct Foundation.Date

/// What is needed to take up what was saved: compared before anything is started.
public struct SnapshotManifest: Sendable, Hashable, Codable {
    /// A file of it.
    public struct File: Sendable, Hashable, Codable {
        public var name: String
        public var size: Int
        /// CRC-64 of its contents (ECMA-182 in the reflected form of xz), in hexadecimal: it tells damage, not malice.
        public var checksum: String

        public init(name: String, size: Int, checksum: String) {
            self.name = name
            self.size = size
            self.checksum = checksum
        }
    }

    /// A volume that the instance had, which is not in the snapshot.
    public struct VolumeState: Sendable, Hashable, Codable {
        public var volume: VolumeID
        public var path: MountPath
        public var disk: DiskFingerprint
        /// Of the instance's own disk over it, where it has one.
        public var overlay: DiskFingerprint?

        public init(volume: VolumeID, path: MountPath, disk: DiskFingerprint, overlay: DiskFingerprint?) {
            self.volume = volume
            self.path = path
            self.disk = disk
            self.overlay = overlay
        }
    }

    /// The form that this build writes and reads.
    public static let currentFormat = 1
    /// The name of the copy of an instance's overlay, where there is one.
    public static let overlayName = "overlay"

    public var format: Int
    public var instance: InstanceID
    public var createdAt: Date
    /// The machine whose memory it is; nil for a disk alone.
    public var memory: SavedMemory?
    /// The writable disk that it goes with, as it was in its place.
    public var overlay: DiskFingerprint
    /// As they were; none in what an earlier release wrote.
    public var volumes: [VolumeState]?
    /// Before the commit, those that are shared; the store adds the others.
    public var files: [File]

    public init(
        instance: InstanceID,
        createdAt: Date,
        memory: SavedMemory?,
        overlay: DiskFingerprint,
        volumes: [VolumeState] = [],
        files: [File] = []
    ) {
        self.format = Self.currentFormat
        self.instance = instance
        self.createdAt = createdAt
        self.memory = memory
        self.overlay = overlay
        self.volumes = volumes.isEmpty ? nil : volumes
        self.files = files
    }
}

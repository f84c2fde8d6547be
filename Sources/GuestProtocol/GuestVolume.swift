/// A volume as the guest is told of it: an ext4 on a disk of its own.
public struct GuestVolume: Codable, Sendable, Hashable {
    /// For the guest's own messages.
    public var name: String
    /// Virtio serial of its disk.
    public var disk: String
    /// Where it is mounted: absolute, made if it does not exist.
    public var path: String
    /// Whether the disk is only read.
    public var readOnly: Bool
    /// Virtio serial of a writable disk, ext4, whose upper directory lies over it; nil where it is as it is.
    public var overlayDisk: String?

    public init(name: String, disk: String, path: String, readOnly: Bool, overlayDisk: String? = nil) {
        self.name = name
        self.disk = disk
        self.path = path
        self.readOnly = readOnly
        self.overlayDisk = overlayDisk
    }
}

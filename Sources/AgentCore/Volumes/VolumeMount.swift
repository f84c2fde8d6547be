import GuestProtocol

/// A volume of an instance: which, where, and how.
public struct VolumeMount: Sendable, Hashable, Codable {
    /// How many disks an instance's volumes may come to: each has a place on the machine's bus.
    public static let maximumDisks = 12
    /// The digits of a serial that tell one volume from another.
    private static let serialDigits = 16

    public var volume: VolumeID
    public var path: MountPath
    public var readOnly: Bool
    /// Of a disk of the instance's own that takes what is written to a read-only volume; nil is without.
    public var overlaySize: ByteSize?

    public init(volume: VolumeID, path: MountPath, readOnly: Bool = false, overlaySize: ByteSize? = nil) {
        self.volume = volume
        self.path = path
        self.readOnly = readOnly
        self.overlaySize = overlaySize
    }

    /// The virtio serial of its disk: at most 20 bytes, so it cannot be the id itself.
    public var serial: String { "vol-\(Self.hash(volume.rawValue))" }
    /// That of the disk over it.
    public var overlaySerial: String? { overlaySize == nil ? nil : "vov-\(Self.hash(volume.rawValue))" }
    /// How many disks it is.
    public var disks: Int { overlaySize == nil ? 1 : 2 }

    /// What the guest is told.
    var guestVolume: GuestVolume {
        GuestVolume(
            name: volume.rawValue,
            disk: serial,
            path: path.rawValue,
            readOnly: readOnly,
            overlayDisk: overlaySerial
        )
    }

    /// Checks whether one instance can have all of them.
    ///
    /// - Throws: `invalidArgument`: `duplicate_volume`, `invalid_mount_path`, `invalid_volume_overlay`, `too_many_volumes`.
    static func check(_ mounts: [VolumeMount]) throws(AgentError) {
        for (index, mount) in mounts.enumerated() {
            if let size = mount.overlaySize {
                guard mount.readOnly else {
                    throw invalidOverlay("the overlay over volume \(mount.volume) needs readonly to be true")
                }
                guard size >= InstancesService.minimumOverlaySize else {
                    throw invalidOverlay("overlay_size \(size) is smaller than \(InstancesService.minimumOverlaySize)")
                }
            }
            for other in mounts[..<index] {
                guard other.serial != mount.serial else {
                    throw AgentError(
                        .invalidArgument,
                        code: "duplicate_volume",
                        "volume \(mount.volume) is mounted twice, on \(other.path) and on \(mount.path)"
                    )
                }
                guard !other.path.contains(mount.path), !mount.path.contains(other.path) else {
                    throw AgentError(
                        .invalidArgument,
                        code: "invalid_mount_path",
                        "the mount paths \(other.path) and \(mount.path) lie in one another"
                    )
                }
            }
        }
        let disks = mounts.reduce(0) { $0 + $1.disks }
        guard disks <= maximumDisks else {
            throw AgentError(
                .invalidArgument,
                code: "too_many_volumes",
                "the volumes are \(disks) disks, an overlay counted as one, and an instance can have \(maximumDisks)"
            )
        }
    }

    private static func invalidOverlay(_ message: String) -> AgentError {
        AgentError(.invalidArgument, code: "invalid_volume_overlay", message)
    }

    /// FNV-1a, 64 bits; two volumes of one instance that have the same are refused.
    private static func hash(_ text: String) -> String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        let digits = String(hash, radix: 16)
        return String(repeating: "0", count: serialDigits - digits.count) + digits
    }
}

/// A volume as a caller asks for it; see ``VolumeMount``.
public struct VolumeMountRequest: Sendable, Hashable {
    /// Its id, its name, or a prefix of its id that fits no other.
    public var volume: String
    public var path: MountPath
    public var readOnly: Bool
    public var overlaySize: ByteSize?

    public init(volume: String, path: MountPath, readOnly: Bool = false, overlaySize: ByteSize? = nil) {
        self.volume = volume
        self.path = path
        self.readOnly = readOnly
        self.overlaySize = overlaySize
    }
}

/// A volume that is on its way into a machine that runs, or out of it: stored before anything is done.
public struct InstanceVolumeChange: Sendable, Hashable, Codable {
    public enum Kind: String, Sendable, Codable {
        case attaching
        case detaching
    }

    public var kind: Kind
    public var mount: VolumeMount
    public var disk: MachineDescription.Disk

    public init(_ kind: Kind, _ mount: VolumeMount, disk: MachineDescription.Disk) {
        self.kind = kind
        self.mount = mount
        self.disk = disk
    }
}

import CInit
import Glibc
import GuestAgent
import GuestProtocol

extension VolumeMounting {
    /// By this kernel, as one who may.
    static let kernel = VolumeMounting(
        mount: { volume in
            do throws(BootFailure) {
                try VolumeDisk.mount(volume)
                return nil
            } catch {
                return error.message
            }
        },
        unmount: { volume in
            do throws(BootFailure) {
                try VolumeDisk.unmount(volume)
                return nil
            } catch {
                return error.message
            }
        }
    )
}

/// Volumes in the guest: an ext4 each, where the instance wants it.
///
/// Runs in the image's root. As a container engine's they allow devices and setuid: whoever may write to them is root in the guest already.
enum VolumeDisk {
    /// Blocks that are freed are given back to the host.
    private static let options = "discard"

    /// Waits for the disk, and mounts it; one that is mounted already is left so.
    static func mount(_ volume: GuestVolume) throws(BootFailure) {
        do throws(BootFailure) {
            let disk = try Devices.disk(serial: volume.disk)
            guard mounts(of: disk).isEmpty else { return }
            try makeDirectories(volume.path)
            var covered = stat()
            stat(volume.path, &covered)
            try BootFailure.check(
                hypeman_mount(
                    disk,
                    volume.path,
                    "ext4",
                    volume.readOnly ? UInt(MS_RDONLY) : 0,
                    volume.readOnly ? nil : options
                ),
                "cannot mount \(disk)"
            )
            if let overlay = volume.overlayDisk { try lay(overlay, over: volume.path) }
            if !volume.readOnly { adopt(volume.path, covered) }
        } catch {
            throw BootFailure(message: "volume \(volume.name) on \(volume.path): \(error.message)")
        }
    }

    /// Lays a writable disk over what is mounted at a path, all three on top of one another, so that they are unmounted
    /// in their order by whoever unmounts everything.
    private static func lay(_ serial: String, over path: String) throws(BootFailure) {
        let disk = try Devices.disk(serial: serial)
        let lower = hypeman_open(path, O_RDONLY | O_DIRECTORY)
        try BootFailure.check(lower, "cannot open \(path)")
        defer { close(lower) }
        try BootFailure.check(hypeman_mount(disk, path, "ext4", 0, options), "cannot mount \(disk)")
        let writable = hypeman_open(path, O_RDONLY | O_DIRECTORY)
        try BootFailure.check(writable, "cannot open \(path)")
        defer { close(writable) }
        // Both are hidden by what is mounted over them, and have no other name.
        let (below, above) = ("/proc/self/fd/\(lower)", "/proc/self/fd/\(writable)")
        if mkdir(above + "/upper", 0o755) == 0 {
            var status = stat()
            if stat(below, &status) == 0 {
                chown(above + "/upper", status.st_uid, status.st_gid)
                chmod(above + "/upper", status.st_mode & 0o7777)
            }
        }
        mkdir(above + "/work", 0o755)
        try BootFailure.check(
            hypeman_mount(
                "overlay",
                path,
                "overlay",
                0,
                "lowerdir=\(below),upperdir=\(above)/upper,workdir=\(above)/work"
            ),
            "cannot lay a writable disk over it"
        )
    }

    /// Gives a volume that nobody has used yet owner and mode of the directory that it covers, which the image's program
    /// expects to be able to write to.
    private static func adopt(_ path: String, _ covered: stat) {
        var status = stat()
        guard stat(path, &status) == 0, status.st_uid == 0, status.st_gid == 0, status.st_mode & 0o7777 == 0o755,
            SmallFile.names(in: path).isEmpty
        else { return }
        chown(path, covered.st_uid, covered.st_gid)
        chmod(path, covered.st_mode & 0o7777)
    }

    /// Unmounts it, unless somebody uses it; one that is not mounted, or not there, is none to unmount.
    static func unmount(_ volume: GuestVolume) throws(BootFailure) {
        guard let disk = Devices.presentDisk(serial: volume.disk) else { return }
        let paths = mounts(of: disk)
        guard let path = paths.first else { return }
        guard paths.count == 1 else {
            throw BootFailure(
                message: "volume \(volume.name) is mounted more than once in the guest: "
                    + paths.joined(separator: ", ")
            )
        }
        guard umount2(path, Int32(UMOUNT_NOFOLLOW)) == 0 else {
            guard errno == EBUSY else {
                throw BootFailure(
                    message: "cannot unmount volume \(volume.name) from \(path): \(String(cString: strerror(errno)))"
                )
            }
            let users = FileUsers.of(path)
            let who = users.isEmpty ? "something in the guest" : users.joined(separator: ", ")
            throw BootFailure(message: "volume \(volume.name) is in use on \(path) by \(who)")
        }
        try requireFree(disk, volume, path)
    }

    /// In another mount namespace it may still be there: then it is mounted here again.
    private static func requireFree(_ disk: String, _ volume: GuestVolume, _ path: String) throws(BootFailure) {
        let descriptor = hypeman_open(disk, O_RDONLY | O_EXCL)
        guard descriptor < 0 else {
            close(descriptor)
            return
        }
        let reason = String(cString: strerror(-descriptor))
        hypeman_mount(
            disk,
            path,
            "ext4",
            volume.readOnly ? UInt(MS_RDONLY) : 0,
            volume.readOnly ? nil : options
        )
        throw BootFailure(
            message:
                "volume \(volume.name) is still in use in the guest, perhaps in a container or service with mounts "
                + "of its own: \(reason)"
        )
    }

    /// Where a disk's file system is mounted.
    private static func mounts(of disk: String) -> [String] {
        let name = disk.split(separator: "/").last ?? ""
        guard let device = SmallFile.line("/sys/class/block/\(name)/dev") else { return [] }
        return MountTable.entries().filter { $0.device == device }.map(\.path)
    }

    /// Makes a directory and those above it that are not there.
    private static func makeDirectories(_ path: String) throws(BootFailure) {
        var current = ""
        for part in path.split(separator: "/") {
            current += "/\(part)"
            if mkdir(current, 0o755) != 0, errno != EEXIST {
                throw BootFailure(message: "cannot make \(current): \(String(cString: strerror(errno)))")
            }
        }
        var status = stat()
        guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
            throw BootFailure(message: "\(path) is in the image and not a directory")
        }
    }
}

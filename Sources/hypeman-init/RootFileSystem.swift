import CInit
import Glibc
import GuestAgent
import GuestProtocol

/// The guest's root: the image's read-only file system with a writable disk over it.
struct RootFileSystem {
    /// Where the root is put together in the initrd.
    static let path = "/newroot"
    private static let lower = "/lower"
    private static let writable = "/writable"

    private static let hardened = UInt(MS_NOSUID | MS_NODEV | MS_NOEXEC)

    /// The writable disk's file system, which has no path once the root is switched.
    private let writableDirectory: Int32

    /// Mounts the two disks over each other.
    init(_ configuration: GuestConfiguration) throws(BootFailure) {
        for directory in [RootFileSystem.lower, RootFileSystem.writable, RootFileSystem.path] {
            mkdir(directory, 0o755)
        }
        let image = try Devices.disk(serial: configuration.rootDisk)
        try BootFailure.check(
            hypeman_mount(image, RootFileSystem.lower, "erofs", UInt(MS_RDONLY), nil),
            "cannot mount the image from \(image)"
        )
        let overlay = try Devices.disk(serial: configuration.overlayDisk)
        // The host's file is sparse: what the guest frees comes back to it.
        try BootFailure.check(
            hypeman_mount(overlay, RootFileSystem.writable, "ext4", UInt(MS_NOATIME), "discard"),
            "cannot mount the writable disk \(overlay)"
        )
        let upper = RootFileSystem.writable + "/upper"
        let work = RootFileSystem.writable + "/work"
        if mkdir(upper, 0o755) == 0 {
            // The root directory is the upper one's: it has the image's owner and mode only if it is given them.
            var status = stat()
            if stat(RootFileSystem.lower, &status) == 0 {
                chown(upper, status.st_uid, status.st_gid)
                chmod(upper, status.st_mode & 0o7777)
            }
        }
        mkdir(work, 0o755)
        try BootFailure.check(
            hypeman_mount(
                "overlay",
                RootFileSystem.path,
                "overlay",
                0,
                "lowerdir=\(RootFileSystem.lower),upperdir=\(upper),workdir=\(work)"
            ),
            "cannot lay the writable disk over the image"
        )
        writableDirectory = hypeman_open(RootFileSystem.writable, O_RDONLY | O_DIRECTORY)
    }

    /// Mounts what programs expect below the root, and makes it the root.
    func enter(mode: GuestConfiguration.Mode) throws(BootFailure) {
        try mount("proc", on: "/proc", type: "proc", flags: RootFileSystem.hardened)
        try mount("sysfs", on: "/sys", type: "sysfs", flags: RootFileSystem.hardened)
        try mount("devtmpfs", on: "/dev", type: "devtmpfs", flags: UInt(MS_NOSUID), options: "mode=0755")
        try mount(
            "devpts",
            on: "/dev/pts",
            type: "devpts",
            flags: UInt(MS_NOSUID | MS_NOEXEC),
            options: "mode=0620,gid=5,ptmxmode=0666"
        )
        try mount("shm", on: "/dev/shm", type: "tmpfs", flags: UInt(MS_NOSUID | MS_NODEV), options: "mode=1777")
        try mount(
            "cgroup2",
            on: "/sys/fs/cgroup",
            type: "cgroup2",
            flags: RootFileSystem.hardened,
            options: "nsdelegate"
        )
        // An image may keep directories in /run that its program needs and cannot make itself; systemd makes its own.
        if mode == .systemd || SmallFile.names(in: RootFileSystem.path + "/run").isEmpty {
            try mount("run", on: "/run", type: "tmpfs", flags: UInt(MS_NOSUID | MS_NODEV), options: "mode=0755")
        }
        if access(RootFileSystem.path + "/tmp", F_OK) != 0 {
            try mount("tmp", on: "/tmp", type: "tmpfs", flags: UInt(MS_NOSUID | MS_NODEV), options: "mode=1777")
        }
        for (name, target) in [
            ("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1"),
            ("stderr", "/proc/self/fd/2"),
        ] {
            symlink(target, "\(RootFileSystem.path)/dev/\(name)")
        }
        try BootFailure.check(hypeman_switch_root(RootFileSystem.path), "cannot make the image the root")
    }

    /// Makes both file systems clean on disk.
    ///
    /// Nothing may be open for writing any more.
    func makeReadOnly() {
        sync()
        let root = hypeman_open("/", O_RDONLY | O_DIRECTORY)
        if root >= 0 { hypeman_remount_read_only(root) }
        if hypeman_remount_read_only(writableDirectory) != 0 { Console.write("the writable disk was still in use") }
    }

    private func mount(
        _ source: String,
        on target: String,
        type: String,
        flags: UInt,
        options: String? = nil
    ) throws(BootFailure) {
        let path = RootFileSystem.path + target
        mkdir(path, 0o755)
        try BootFailure.check(hypeman_mount(source, path, type, flags, options), "cannot mount \(target)")
    }
}

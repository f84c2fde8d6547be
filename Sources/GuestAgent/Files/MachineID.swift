import Glibc

/// The id of a system's installation, machine-id(5), in the places where programs look for it.
enum MachineID {
    /// systemd's own, the transient one that it may have mounted over it, and that of a D-Bus without systemd.
    private static let paths = ["/etc/machine-id", "/run/machine-id", "/var/lib/dbus/machine-id"]

    static func isValid(_ id: String) -> Bool {
        id.utf8.count == 32 && id.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
    }

    /// Writes an id wherever there is one.
    ///
    /// A system that has none gets none: its first boot, or nobody, makes it.
    ///
    /// - Returns: The first file that could not be written, with a negated errno; nil if all are.
    static func replace(below root: String, by id: String) -> (path: String, error: Int32)? {
        for name in paths {
            let path = root + name
            // A link leads to another of them.
            guard !isLink(path), let former = SmallFile.line(path), isValid(former) else { continue }
            var result = SmallFile.replace(path, with: id + "\n", mode: 0o444)
            // A file that something is mounted on cannot be replaced, and can be written.
            if result == -EBUSY { result = SmallFile.overwrite(path, with: id + "\n") }
            // What lies on a read-only mount is the image's.
            if result != 0, result != -EROFS { return (path, result) }
        }
        return nil
    }

    private static func isLink(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFLNK
    }
}

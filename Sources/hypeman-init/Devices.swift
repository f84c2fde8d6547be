import CInit
import Glibc
import GuestAgent

/// Finds devices by what they are called on the host, not by their place on a bus.
enum Devices {
    /// How long a device may take to appear once its driver is loaded; it is on the bus from the start.
    private static let patienceMilliseconds: UInt64 = 10_000

    /// The block device whose virtio serial is `serial`.
    static func disk(serial: String) throws(BootFailure) -> String {
        try wait(for: "the disk \(serial)") { presentDisk(serial: serial) }
    }

    /// The same, nil if it is not there now.
    static func presentDisk(serial: String) -> String? {
        let name = SmallFile.names(in: "/sys/block").first { SmallFile.line("/sys/block/\($0)/serial") == serial }
        return name.map { "/dev/\($0)" }
    }

    /// The virtio-serial port with a name.
    static func port(named name: String) throws(BootFailure) -> String {
        try wait(for: "the port \(name)") {
            SmallFile.names(in: "/sys/class/virtio-ports")
                .first { SmallFile.line("/sys/class/virtio-ports/\($0)/name") == name }.map { "/dev/\($0)" }
        }
    }

    /// The network interface with a MAC address.
    static func interface(mac: String) throws(BootFailure) -> String {
        try wait(for: "the network interface \(mac)") {
            SmallFile.names(in: "/sys/class/net").first {
                SmallFile.line("/sys/class/net/\($0)/address") == mac.lowercased()
            }
        }
    }

    /// Looks again whenever the kernel announces a device.
    private static func wait(for what: String, _ find: () -> String?) throws(BootFailure) -> String {
        if let found = find() { return found }
        let announcements = hypeman_open_uevents()
        try BootFailure.check(announcements, "cannot listen for devices")
        defer { close(announcements) }
        let end = hypeman_uptime_microseconds() / 1000 + patienceMilliseconds
        while true {
            if let found = find() { return found }
            let now = hypeman_uptime_microseconds() / 1000
            guard now < end else { throw BootFailure(message: "\(what) did not appear") }
            _ = hypeman_wait_readable(announcements, Int32(end - now))
        }
    }
}

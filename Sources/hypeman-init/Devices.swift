import CInit
import Glibc
import GuestAgent

/// Finds devices by what they are called on the host, not by their place on a bus.
enum Devices {
    /// How long a device may take to appear once its driver is loaded; it is on the bus from the start.
    private static let patienceMilliseconds: UInt64 = 10_000

    /// The block device whose virtio serial is `serial`.
    static func disk(serial: String) throws(BootFailure) -> String {
        try wait(for: "the disk \(serial)") {
            SmallFile.names(in: "/sys/block").first { SmallFile.line("/sys/block/\($0)/serial") == serial }.map {
                "/dev/\($0)"
            }
        }
    }

    /// What carries the channel to the host.
    enum ChannelDevice: Equatable {
        /// A virtio-serial port, at this path.
        case port(String)
        /// The machine's vsock, of which there is one.
        case vsock
    }

    /// The virtio-serial port with a name, or the vsock of a machine that has none.
    static func channel(portNamed name: String) throws(BootFailure) -> ChannelDevice {
        try wait(for: "the port \(name), or a vsock,") {
            let port = SmallFile.names(in: "/sys/class/virtio-ports")
                .first { SmallFile.line("/sys/class/virtio-ports/\($0)/name") == name }
            if let port { return .port("/dev/\(port)") }
            // 19 is a vsock (virtio 1.2, 5); its driver need not be there yet.
            let bus = "/sys/bus/virtio/devices"
            let hasVsock = SmallFile.names(in: bus).contains { SmallFile.line("\(bus)/\($0)/device") == "0x0013" }
            return hasVsock ? .vsock : nil
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
    private static func wait<Device>(for what: String, _ find: () -> Device?) throws(BootFailure) -> Device {
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

/// Where a message bus listens.
public struct BusAddress: Sendable, Hashable, CustomStringConvertible {
    public let description: String

    /// Takes addresses of unix sockets alone, as in `DBUS_SESSION_BUS_ADDRESS`: the kernel vouches for nobody behind another
    /// transport, and some of those that libdbus knows start programs.
    public init?(_ text: String) {
        let parts = text.split(separator: ";", omittingEmptySubsequences: false)
        guard !text.utf8.contains(0), !parts.isEmpty,
            parts.allSatisfy({ $0.hasPrefix("unix:path=/") || $0.hasPrefix("unix:abstract=") })
        else { return nil }
        description = text
    }

    private init(trusted text: String) { description = text }

    /// The system's bus, where the D-Bus specification puts it.
    public static func system(environment: [String: String]) -> BusAddress {
        environment["DBUS_SYSTEM_BUS_ADDRESS"].flatMap(BusAddress.init)
            ?? BusAddress(trusted: "unix:path=/var/run/dbus/system_bus_socket")
    }

    /// The user's own bus; nil if the environment does not name it.
    public static func session(environment: [String: String]) -> BusAddress? {
        environment["DBUS_SESSION_BUS_ADDRESS"].flatMap(BusAddress.init)
            ?? environment["XDG_RUNTIME_DIR"].flatMap { BusAddress("unix:path=\($0)/bus") }
    }
}

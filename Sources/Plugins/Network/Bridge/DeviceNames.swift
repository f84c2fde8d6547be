import AgentCore

/// What an instance's devices are called: after its address, so that no two share one, whichever agent made them.
struct DeviceNames: Sendable, Hashable {
    private static let prefix = "hyptap"
    let address: IPv4Address

    init(address: IPv4Address) { self.address = address }

    /// Those that a TAP is one of; nil if it isn't called so.
    init?(tap: String) {
        guard tap.hasPrefix(Self.prefix), let value = UInt32(tap.dropFirst(Self.prefix.count), radix: 16) else {
            return nil
        }
        address = IPv4Address(value: value)
    }

    /// What the VMM opens: the address is eight hexadecimal digits.
    var tap: String {
        let digits = String(address.value, radix: 16)
        return Self.prefix + String(repeating: "0", count: 8 - digits.count) + digits
    }

    /// What the instance's uploads go through where they are limited.
    static func ifb(of tap: String) -> String { tap.replacing("tap", with: "ifb", maxReplacements: 1) }
}

/// What devices that an agent made say of themselves, in their alias (`ip link show`).
struct DeviceMark: Sendable, Hashable {
    /// Every agent's.
    static let prefix = "hypeman:"

    /// Of the bridge itself.
    let bridge: String

    init(bridgeName: String) {
        bridge = Self.prefix + bridgeName
    }

    /// Of a device on it.
    func port(of instance: InstanceID) -> String { "\(bridge):\(instance)" }

    /// Whether an alias is that of a device on this bridge.
    func isOnPort(_ alias: String?) -> Bool { alias?.hasPrefix("\(bridge):") == true }
}

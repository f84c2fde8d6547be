import AgentCore

/// What an instance's devices are called: after its address, so that no two share one, whichever agent made them.
struct DeviceNames: Sendable, Hashable {
    /// The address as eight hexadecimal digits.
    private let number: String

    init(address: IPv4Address) {
        let digits = String(address.value, radix: 16)
        number = String(repeating: "0", count: 8 - digits.count) + digits
    }

    /// What the VMM opens.
    var tap: String { "hyptap\(number)" }

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

import AgentCore

/// TAP devices that exist already, and the addresses that go with them.
public struct TapPool: Sendable {
    public struct Entry: Sendable {
        public var tap: String
        public var address: String

        public init(tap: String, address: String) {
            self.tap = tap
            self.address = address
        }
    }

    public var entries: [Entry]
    public var prefixLength: Int
    public var gateway: String

    public init(entries: [Entry], prefixLength: Int, gateway: String) {
        self.entries = entries
        self.prefixLength = prefixLength
        self.gateway = gateway
    }
}

/// Gives each instance a device of the pool, and keeps its address for it.
public actor TapPoolNetwork: NetworkBackend {
    public nonisolated let name = "tap-pool"
    public nonisolated let providesNetwork = true
    private let pool: TapPool
    private var holders: [String: InstanceID] = [:]

    public init(pool: TapPool) { self.pool = pool }

    public func prepareHost() async throws {}

    public func attach(_ instance: InstanceID, previous: NetworkAttachment?) async throws -> NetworkAttachment? {
        let entry =
            pool.entries.first { holders[$0.tap] == instance || $0.address == previous?.address }
            ?? pool.entries.first { holders[$0.tap] == nil }
        guard let entry, holders[entry.tap].map({ $0 == instance }) ?? true else {
            throw AgentError(.quotaExceeded, "all \(pool.entries.count) TAP devices of the pool are in use")
        }
        holders[entry.tap] = instance
        let octets = entry.address.split(separator: ".").compactMap { UInt8($0) }
        let mac =
            "02:00:"
            + octets.map { byte in
                let digits = String(byte, radix: 16)
                return digits.count == 1 ? "0" + digits : digits
            }.joined(separator: ":")
        return NetworkAttachment(
            network: name,
            mac: mac,
            address: entry.address,
            prefixLength: pool.prefixLength,
            gateway: pool.gateway,
            nameServers: [pool.gateway],
            mtu: 1500,
            tap: entry.tap
        )
    }

    public func detach(_ instance: InstanceID, _ attachment: NetworkAttachment) async throws {
        holders = holders.filter { $0.value != instance }
    }
}

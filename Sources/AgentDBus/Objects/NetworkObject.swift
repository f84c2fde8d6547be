import AgentCore
import DBus

/// A network that instances are on.
enum NetworkObject {
    /// - Parameters:
    ///   - network: As it is now.
    ///   - backend: Knows what of it may become another.
    /// - Returns: Its interface.
    static func interface(_ network: Network, of backend: any NetworkBackend) -> Interface {
        Interface(
            AgentInterface.network,
            [
                .property("Id", .constant) { network.id },
                .property("Subnet", .constant) { network.subnet.description },
                .property("Gateway", .constant) { network.gateway.description },
                .property("Isolated", .constant) { network.isolated },
                .property("Domain", .constant) { network.domain },
                .property("MTU", .none) { UInt32(clamping: (backend.network ?? network).mtu) },
                .property("Capacity", .constant) { UInt32(clamping: network.capacity) },
            ]
        )
    }

    /// As in a list.
    static func entry(_ network: Network) -> ListEntry {
        ListEntry(
            .network(network.id),
            network.id,
            [
                "Subnet": Variant(.string(network.subnet.description)),
                "Gateway": Variant(.string(network.gateway.description)),
            ]
        )
    }
}

import AgentCore
import DBus

/// A network that instances are on.
enum NetworkObject {
    static func interface(_ network: Network) -> Interface {
        Interface(
            AgentInterface.network,
            [
                .property("Id", .constant) { network.id },
                .property("Subnet", .constant) { network.subnet.description },
                .property("Gateway", .constant) { network.gateway.description },
                .property("Isolated", .constant) { network.isolated },
                .property("Domain", .constant) { network.domain },
                .property("Capacity", .constant) { UInt32(clamping: network.capacity) },
            ]
        )
    }
}

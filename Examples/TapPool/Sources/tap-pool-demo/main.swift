import AgentCore
import TapPool

/// What uses the network, as the agent's services do: it knows the port alone.
struct Consumer: Sendable {
    let network: any NetworkBackend
}

guard let subnet = IPv4Subnet("192.0.2.8/29"), let gateway = IPv4Address("192.0.2.9") else {
    preconditionFailure("the example's addresses do not parse")
}
let graph = Graph {
    value(TapPool(subnet: subnet, gateway: gateway))
    TapPoolPlugin.providers
    provide(Consumer.init)
}
print(try graph.text(for: Consumer.self))
try await graph.with(Consumer.self) { consumer in
    // One more than there are devices.
    for address in subnet.hosts.reversed().map(IPv4Address.init(value:)) {
        let attachment = consumer.network.attachment(at: address)
        let name = try InstanceName("instance-\(address.value & 0xff)")
        do {
            try await consumer.network.attach(.init(instance: .random(), name: name, attachment: attachment))
            print("\(consumer.network.name): \(attachment.tap) \(attachment.address) \(attachment.mac)")
        } catch {
            print("one more: \(error)")
        }
    }
}

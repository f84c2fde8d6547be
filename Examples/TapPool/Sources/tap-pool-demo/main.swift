import AgentCore
import TapPool

/// What uses the network, as the agent's services do: it knows the port alone.
struct Consumer: Sendable {
    let network: any NetworkBackend
}

let pool = TapPool(
    entries: [.init(tap: "tap0", address: "192.0.2.10"), .init(tap: "tap1", address: "192.0.2.11")],
    prefixLength: 24,
    gateway: "192.0.2.1"
)
let graph = Graph {
    value(pool)
    TapPoolPlugin.providers
    provide(Consumer.init)
}
print(try graph.text(for: Consumer.self))
try await graph.with(Consumer.self) { consumer in
    for _ in 0..<2 {
        guard let attachment = try await consumer.network.attach(.random(), previous: nil) else { continue }
        print("\(consumer.network.name): \(attachment.tap ?? "-") \(attachment.address) \(attachment.mac)")
    }
    do {
        _ = try await consumer.network.attach(.random(), previous: nil)
    } catch {
        print("a third: \(error)")
    }
}

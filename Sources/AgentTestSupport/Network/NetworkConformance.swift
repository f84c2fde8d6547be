public import AgentCore

/// What every network backend must do; nothing of the host's may be in its way, and nothing is left afterwards.
public enum NetworkConformance {
    public static let claims: [ConformanceClaim<any NetworkBackend>] = [
        ConformanceClaim("the host can be brought in line twice, and torn down twice") { backend in
            for _ in 0..<2 { try await backend.reconcile([]) }
            for _ in 0..<2 { try await backend.tearDown() }
        },
        ConformanceClaim("a backend without a network refuses to attach") { backend in
            guard backend.network == nil else { return }
            let address = IPv4Address(value: 0x0a64_0002)
            let endpoint = NetworkEndpoint(
                instance: .random(),
                name: try name("refused"),
                attachment: backend.attachment(at: address)
            )
            do {
                try await backend.attach(endpoint)
                throw ConformanceFailure("it was attached")
            } catch let error as AgentError where error.kind == .notSupported {}
            try await backend.detach(endpoint)
        },
        ConformanceClaim("addresses do not share a MAC or a device, whose name the kernel takes") { backend in
            guard let network = backend.network else { return }
            let all = network.subnet.hosts.prefix(512).map { backend.attachment(at: IPv4Address(value: $0)) }
            try require(Set(all.map(\.mac)).count == all.count, "MACs are shared")
            try require(Set(all.map(\.tap)).count == all.count, "devices are shared")
            for attachment in all {
                try require((1...15).contains(attachment.tap.utf8.count), "\(attachment.tap) is no name for a device")
                try require(attachment.mac.bytes[0] & 3 == 2, "\(attachment.mac) is not a local unicast address")
            }
        },
        ConformanceClaim(
            "what is attached counts, may be attached again, and is gone after a detach, which may be repeated"
        ) {
            backend in
            try await attached(backend, count: 1) { endpoints in
                let endpoint = endpoints[0]
                try require(try await backend.counters(of: endpoint.attachment) != nil, "it is not there")
                try await backend.attach(endpoint)
                for _ in 0..<2 { try await backend.detach(endpoint) }
                try require(try await backend.counters(of: endpoint.attachment) == nil, "it is still there")
                try await backend.attach(endpoint)
                try require(try await backend.counters(of: endpoint.attachment) != nil, "it does not come back")
            }
        },
        ConformanceClaim("one that is detached does not take another with it") { backend in
            try await attached(backend, count: 2) { endpoints in
                try await backend.detach(endpoints[0])
                try require(try await backend.counters(of: endpoints[1].attachment) != nil, "the other is gone")
            }
        },
        ConformanceClaim("limits and published ports can change with another attach") { backend in
            try await attached(backend, count: 1) { endpoints in
                var endpoint = endpoints[0]
                endpoint.limits = BandwidthLimits(
                    download: BitRate(bitsPerSecond: 20_000_000),
                    upload: BitRate(bitsPerSecond: 10_000_000)
                )
                endpoint.publishedPorts = [PublishedPort(hostPort: 18080, guestPort: 80)]
                try await backend.attach(endpoint)
                endpoint.limits = BandwidthLimits()
                endpoint.publishedPorts = []
                try await backend.attach(endpoint)
                try require(try await backend.counters(of: endpoint.attachment) != nil, "it is gone")
            }
        },
        ConformanceClaim("bringing the host in line keeps what is named, makes what is missing, and removes the rest") {
            backend in
            try await attached(backend, count: 3) { endpoints in
                try await backend.detach(endpoints[1])
                try await backend.reconcile(Array(endpoints.prefix(2)))
                try require(try await backend.counters(of: endpoints[0].attachment) != nil, "the first is gone")
                try require(try await backend.counters(of: endpoints[1].attachment) != nil, "the second is not made")
                try require(try await backend.counters(of: endpoints[2].attachment) == nil, "the third is still there")
            }
        },
        ConformanceClaim("instances are attached and detached at the same time") { backend in
            try await attached(backend, count: 8) { endpoints in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for endpoint in endpoints { group.addTask { try await backend.detach(endpoint) } }
                    try await group.waitForAll()
                }
                for endpoint in endpoints {
                    try require(try await backend.counters(of: endpoint.attachment) == nil, "\(endpoint) is there")
                }
            }
        },
    ]

    /// Runs `body` with instances attached, all at once, and tears the network down afterwards.
    private static func attached(
        _ backend: any NetworkBackend,
        count: Int,
        _ body: ([NetworkEndpoint]) async throws -> Void
    ) async throws {
        guard let network = backend.network else { return }
        try await backend.reconcile([])
        let addresses = network.subnet.hosts.map(IPv4Address.init(value:)).filter { $0 != network.gateway }.prefix(
            count
        )
        var endpoints: [NetworkEndpoint] = []
        for (number, address) in addresses.enumerated() {
            endpoints.append(
                NetworkEndpoint(
                    instance: .random(),
                    name: try name("instance-\(number)"),
                    attachment: backend.attachment(at: address)
                )
            )
        }
        do {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for endpoint in endpoints { group.addTask { try await backend.attach(endpoint) } }
                try await group.waitForAll()
            }
            try await body(endpoints)
        } catch {
            try await backend.tearDown()
            throw error
        }
        try await backend.tearDown()
    }

    private static func name(_ text: String) throws -> InstanceName { try InstanceName(text) }
}

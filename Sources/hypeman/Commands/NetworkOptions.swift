import AgentAPI
import ArgumentParser

/// How an instance is to be connected; for `run`.
struct NetworkOptions: ParsableArguments {
    @Option(help: "default, or none for an instance without a network.")
    var network: String?

    @Option(
        name: [.customShort("p"), .long],
        help: "Publish HOST:GUEST[/udp], a port of the host and one of the instance."
    )
    var publish: [String] = []

    @Option(name: .customLong("bandwidth-down"), help: "How fast the instance may receive, as 10Mbps or 2MB/s.")
    var bandwidthDown: String?

    @Option(name: .customLong("bandwidth-up"), help: "How fast the instance may send, as 10Mbps or 2MB/s.")
    var bandwidthUp: String?

    func validate() throws {
        guard network == nil || network == "default" || network == "none" else {
            throw ValidationError("There is no network '\(network ?? "")': write --network default or --network none.")
        }
        for text in publish { _ = try Self.port(text) }
        guard network != "none" || (publish.isEmpty && bandwidthDown == nil && bandwidthUp == nil) else {
            throw ValidationError("--publish and --bandwidth need a network, and --network none leaves it out.")
        }
    }

    /// What to send; nil where nothing was asked for.
    func body() throws -> CreateInstanceBody.Network? {
        guard network != nil || !publish.isEmpty || bandwidthDown != nil || bandwidthUp != nil else { return nil }
        var body = CreateInstanceBody.Network(enabled: network.map { $0 != "none" })
        body.bandwidthDownload = bandwidthDown
        body.bandwidthUpload = bandwidthUp
        body.ports = publish.isEmpty ? nil : try publish.map(Self.port)
        return body
    }

    /// Reads `HOST:GUEST`, with `/tcp` or `/udp` behind it.
    static func port(_ text: String) throws -> PortMapping {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        let numbers = (parts.first ?? "").split(separator: ":", omittingEmptySubsequences: false)
        let transport = parts.count == 2 ? parts[1] : "tcp"
        guard transport == "tcp" || transport == "udp" else {
            throw ValidationError("'\(text)' cannot be published: '\(transport)' is neither tcp nor udp.")
        }
        if numbers.count == 1, let only = number(numbers[0]) {
            throw ValidationError(
                "'\(text)' does not say which port of the host leads to which of the instance: write HOST:GUEST, "
                    + "as \(only):\(only)."
            )
        }
        if numbers.count == 3 {
            throw ValidationError(
                "'\(text)' cannot be published: ports are open on every address of the host; write HOST:GUEST."
            )
        }
        guard numbers.count == 2, let host = number(numbers[0]), let guest = number(numbers[1]) else {
            throw ValidationError(
                "'\(text)' cannot be published: write HOST:GUEST or HOST:GUEST/udp, each a port from 1 to 65535."
            )
        }
        return PortMapping(hostPort: host, guestPort: guest, transport: transport)
    }

    private static func number(_ text: Substring) -> Int? {
        guard text.utf8.allSatisfy({ (48...57).contains($0) }), let number = Int(text), (1...65535).contains(number)
        else { return nil }
        return number
    }
}

extension PortMapping {
    /// As docker writes it: `0.0.0.0:8080->80/tcp`.
    var text: String { "0.0.0.0:\(hostPort)->\(guestPort)/\(transport ?? "tcp")" }
}

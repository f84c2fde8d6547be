import AgentCore

/// The rules for IPv4 packets on the host, kept with iptables' nft variant.
///
/// Always that one, also where the system's default is the legacy variant: the kernel has nf_tables in any case (the
/// frames are filtered with it), iptables-legacy cannot be run by others than root (its lock file), and what it once
/// loaded cannot be made to go away.
struct PacketFilter: Sendable {
    static let save = HostTool(name: "iptables-nft-save", package: "iptables")
    static let restore = HostTool(name: "iptables-nft-restore", package: "iptables")
    /// How often to look again when somebody else changes rules at the same time.
    private static let attempts = 5

    let rules: PacketRules
    let network: HostNetwork

    /// What is on the host.
    func saved() async throws -> SavedRules {
        let result = try await Self.save.run([], in: network)
        guard result.isSuccess else { throw Nft.refusal("iptables-save", result) }
        return SavedRules(result.output)
    }

    /// - Returns: Whether anything had to be done.
    func install(_ forwards: [PortForward]) async throws -> Bool {
        try await retrying {
            var isChanged = false
            if let creation = BaseChains.creation(from: try await Nft.ruleset(in: network)) {
                try await Nft.load(creation, in: network)
                isChanged = true
            }
            if let restoration = rules.restoration(from: try await saved(), forwards: forwards) {
                try await load(restoration)
                isChanged = true
            }
            return isChanged
        }
    }

    /// Changes published ports; `all` are those that are there afterwards.
    func publish(adding new: Set<PortForward>, removing old: Set<PortForward>, all: [PortForward]) async throws {
        do {
            try await load(rules.publication(adding: new, removing: old))
        } catch let error as AgentError where error.code == "firewall_refused" {
            // Somebody removed some of it: then all of it is put back.
            _ = try await install(all)
        }
    }

    /// Removes what ``install(_:)`` brought about, and nothing else.
    func remove() async throws {
        try await retrying {
            if let removal = rules.removal(from: try await saved()) { try await load(removal) }
            if let removal = BaseChains.removal(from: try await Nft.ruleset(in: network)) {
                try await Nft.load(removal, in: network)
            }
        }
    }

    private func load(_ text: String) async throws {
        let result = try await Self.restore.run(["--noflush", "-w"], input: text, in: network)
        guard result.isSuccess else { throw Nft.refusal("iptables-restore", result) }
    }

    /// A change is computed from what is there, and refused as a whole if that is not there any more.
    private func retrying<Value>(_ body: () async throws -> Value) async throws -> Value {
        for _ in 1..<Self.attempts {
            do {
                return try await body()
            } catch let error as AgentError where error.kind == .unavailable && error.code == "firewall_refused" {
                continue
            }
        }
        return try await body()
    }
}

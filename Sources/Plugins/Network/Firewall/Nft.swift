import AgentCore

/// The program nft (nft(8)), with JSON where it is read.
enum Nft {
    static let tool = HostTool(name: "nft", package: "nftables")

    /// Makes all changes of a text in one transaction.
    ///
    /// - Throws: `unavailable`, with nft's words, if the kernel refuses them.
    static func load(_ text: String, in network: HostNetwork) async throws {
        let result = try await tool.run(["-f", "-"], input: text, in: network)
        guard result.isSuccess else { throw refusal("nft", result) }
    }

    /// - Returns: nil if what should be listed isn't there.
    static func list(_ what: [String], in network: HostNetwork) async throws -> NftListing? {
        let result = try await tool.run(["-j", "list"] + what, in: network)
        guard result.isSuccess else {
            guard result.errors.contains("No such file or directory") else { throw refusal("nft list", result) }
            return nil
        }
        return try NftListing(result.output)
    }

    /// Everything but the elements of sets, of which others may have a hundred thousand.
    static func ruleset(in network: HostNetwork) async throws -> NftListing {
        let result = try await tool.run(["-t", "-j", "list", "ruleset"], in: network)
        guard result.isSuccess else { throw refusal("nft list", result) }
        return try NftListing(result.output)
    }

    /// The error for a tool that did not do what it should.
    static func refusal(_ what: String, _ result: HostTool.Result) -> AgentError {
        let words = result.errors.split(separator: "\n").prefix(3).joined(separator: " ")
        let isDenied = words.contains("Operation not permitted") || words.contains("Permission denied")
        return AgentError(
            isDenied ? .permissionDenied : .unavailable,
            code: "firewall_refused",
            isDenied
                ? "\(what) may not change the host's rules: the agent needs the capability CAP_NET_ADMIN, ambient (\(words))"
                : "\(what) failed: \(words)"
        )
    }
}

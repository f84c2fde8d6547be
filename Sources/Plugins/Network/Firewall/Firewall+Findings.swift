import AgentCore

extension Firewall {
    /// What `check` should say about this host's rules.
    func findings() async -> [HostFinding] {
        await toolFindings() + (await ruleFindings())
    }

    /// Whether what loads rules is there.
    func toolFindings() async -> [HostFinding] {
        var findings: [HostFinding] = []
        for tool in [PacketFilter.restore, Nft.tool] {
            findings.append(await version(of: tool))
        }
        return findings
    }

    /// What rules and settings of others do to ours.
    func ruleFindings() async -> [HostFinding] {
        var findings = await settingFindings()
        do {
            let listing = try await Nft.ruleset(in: network)
            findings += FirewallFindings.foreignChains(in: listing, bridge: rules.bridge)
            findings += FirewallFindings.jumps(
                in: try await PacketFilter(rules: rules, network: network).saved(),
                rules
            )
            findings += await legacyFindings()
        } catch {
            findings.append(HostFinding(.error, "firewall", "the host's rules cannot be read: \(error)"))
        }
        return findings
    }

    private func version(of tool: HostTool) async -> HostFinding {
        do {
            let result = try await tool.run(["--version"], in: network)
            let line = result.output.split(separator: "\n").first.map(String.init) ?? "no version"
            return HostFinding(.ok, tool.name, line)
        } catch {
            return HostFinding(.error, tool.name, "\(error)", fix: "apt install \(tool.package)")
        }
    }

    private func settingFindings() async -> [HostFinding] {
        let isolated = rules.isolated
        do {
            return try await network.run {
                let setting = try Sysctl.get(FirewallFindings.bridgeSetting) == "1"
                return FirewallFindings.settings(isBridgeFiltered: setting, isolated: isolated)
            }
        } catch {
            return [HostFinding(.error, FirewallFindings.bridgeSubject, "cannot be read: \(error)")]
        }
    }

    /// The other variant's rules are asked as well as ours, and a DROP of theirs is final.
    private func legacyFindings() async -> [HostFinding] {
        do {
            let result = try await HostTool(name: "iptables-legacy-save", package: "iptables").run([], in: network)
            // Without the right to look, or without such rules, there is nothing to say.
            guard result.isSuccess else { return [] }
            return FirewallFindings.legacy(SavedRules(result.output))
        } catch {
            // Not installed, so nothing was loaded by it.
            return []
        }
    }
}

/// What is worth saying about rules and settings; pure.
enum FirewallFindings {
    /// Whether iptables sees what a bridge forwards, too (br_netfilter).
    static let bridgeSetting = "net/bridge/bridge-nf-call-iptables"
    static let bridgeSubject = bridgeSetting.replacing("/", with: ".")

    static func settings(isBridgeFiltered: Bool, isolated: Bool) -> [HostFinding] {
        guard isBridgeFiltered && isolated else { return [] }
        return [
            HostFinding(
                .warning,
                bridgeSubject,
                "is on: instances do not reach one another's published ports, all else works",
                fix: "sysctl \(bridgeSubject)=0, unless another program needs it"
            )
        ]
    }

    /// Chains beside iptables' that drop what ours accept: every chain of a hook is asked, and one refusal is enough.
    static func foreignChains(in listing: NftListing, bridge: String) -> [HostFinding] {
        listing.chains.compactMap { chain in
            guard ["inet", "ip"].contains(chain.family), let hook = chain.hook, ["forward", "input"].contains(hook),
                !isOfIPTables(chain), refuses(chain, listing),
                // Somebody has seen to it: a rule of the table is about our bridge.
                !listing.rules.contains(where: {
                    $0.family == chain.family && $0.table == chain.table
                        && $0.expressions.contains { $0.mentions(bridge) }
                })
            else { return nil }
            let place = "table \(chain.family) \(chain.table), chain \(chain.name)"
            let loss =
                hook == "forward" ? "instances reach nothing beyond the host" : "instances get no DNS and no DHCP"
            return HostFinding(
                .error,
                "nftables",
                "\(place) refuses what no rule of its own accepts, and has none for \(bridge): \(loss)",
                fix: chain.table == "firewalld"
                    ? "firewall-cmd --permanent --zone=trusted --add-interface=\(bridge) && firewall-cmd --reload"
                    : "nft insert rule \(chain.family) \(chain.table) \(chain.name) iifname \"\(bridge)\" accept"
                        + (hook == "forward"
                            ? " && nft insert rule \(chain.family) \(chain.table) \(chain.name) oifname \"\(bridge)\" accept"
                            : "")
            )
        }
    }

    /// Chains that iptables-nft made: there our jump is first.
    private static func isOfIPTables(_ chain: NftListing.Chain) -> Bool {
        chain.family == "ip" && ["raw", "mangle", "nat", "filter", "security"].contains(chain.table)
            && ["INPUT", "FORWARD"].contains(chain.name)
    }

    /// By policy, or by a last rule without a condition.
    private static func refuses(_ chain: NftListing.Chain, _ listing: NftListing) -> Bool {
        if chain.policy == "drop" { return true }
        guard let last = listing.rules(of: chain).last else { return false }
        let keys = last.expressions.reduce(into: Set<String>()) { $0.formUnion($1.keys) }
        return !keys.isDisjoint(with: ["drop", "reject"]) && keys.isSubset(of: ["drop", "reject", "counter", "log"])
    }

    static func legacy(_ saved: SavedRules) -> [HostFinding] {
        ["FORWARD", "INPUT"].compactMap { name in
            guard saved.chain(name, in: .filter)?.policy == "DROP" else { return nil }
            return HostFinding(
                .error,
                "iptables-legacy",
                "its chain \(name) drops what its rules do not accept, whatever iptables' nft variant accepts",
                fix: "let the program that made it use the nft variant: update-alternatives --set iptables "
                    + "/usr/sbin/iptables-nft, and reboot"
            )
        }
    }

    /// Rules of others before our jumps.
    static func jumps(in saved: SavedRules, _ rules: PacketRules) -> [HostFinding] {
        var findings: [HostFinding] = []
        for chain in PacketRules.Chain.allCases {
            guard let caller = chain.caller?.chain, saved.chain(rules.name(chain), in: chain.table) != nil,
                !rules.hasRightJump(to: chain, in: saved)
            else { continue }
            findings.append(
                HostFinding(
                    .warning,
                    "iptables",
                    "\(caller) of table \(chain.table.rawValue) does not begin with the jump to \(rules.name(chain)): what "
                        + "is before it may drop or accept what it should decide; the agent moves it back"
                )
            )
        }
        guard findings.isEmpty else { return findings }
        return [HostFinding(.ok, "iptables", "no rule of others is before those of \(rules.bridge)")]
    }
}

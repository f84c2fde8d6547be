public import AgentCore
import Glibc
import Logging

extension BridgeNetwork {
    /// Looks at the host, whose devices are these; changes nothing.
    func survey(of found: [Link]) async throws -> HostSurvey {
        let addresses = Dictionary(grouping: try await links.addresses(), by: \.link)
        let devices = found.map { link in
            HostSurvey.Device(
                name: link.name,
                kind: link.kind,
                mtu: link.mtu,
                isUp: link.isUp,
                isOurs: link.alias?.hasPrefix(DeviceMark.prefix) == true,
                addresses: addresses[link.index, default: []].compactMap { found in
                    IPv4Subnet(containing: found.address.address, prefixLength: found.address.prefixLength)
                }
            )
        }
        let forwards = try await host.run { try Sysctl.get("net/ipv4/ip_forward") == "1" }
        return HostSurvey(
            devices: devices,
            routes: try await links.routes().map {
                .init(destination: $0.subnet, device: $0.interface, metric: Int($0.metric))
            },
            forwards: forwards
        )
    }

    func firewall(_ uplink: HostSurvey.Device?) throws -> Firewall {
        try Firewall(configuration, uplink: uplink?.name)
    }

    func bridge(mtu: Int) -> BridgeDescription {
        BridgeDescription(
            name: configuration.bridge,
            alias: mark.bridge,
            address: configuration.gateway,
            prefixLength: configuration.subnet.prefixLength,
            mtu: mtu,
            mac: MACAddress(derivedFrom: configuration.gateway)
        )
    }

    func tap(for endpoint: NetworkEndpoint, bridge: Int32, mtu: Int) -> TapDescription {
        TapDescription(
            name: endpoint.attachment.tap,
            alias: mark.port(of: endpoint.instance),
            bridge: bridge,
            // VMMs run as the agent does, or each as a user of its own, in one group.
            owner: configuration.machineGroup == nil ? geteuid() : nil,
            group: configuration.machineGroup,
            mtu: mtu,
            mac: endpoint.attachment.mac,
            address: endpoint.attachment.address,
            isolated: configuration.isolated,
            ifb: DeviceNames.ifb(of: endpoint.attachment.tap),
            limits: endpoint.limits
        )
    }

    /// What there must be before anything is made, wherever the network is to be.
    private func toolFindings() async -> [HostFinding] {
        do {
            return await names.findings() + (try await firewall(nil).toolFindings())
        } catch {
            return [HostFinding(.error, "firewall", "\(error)")]
        }
    }

    private func ruleFindings() async -> [HostFinding] {
        // Names that no rule can hold are told of already.
        await (try? firewall(nil))?.ruleFindings() ?? []
    }

    /// Refuses a host that lacks a program, and says in the log what else stands in the way.
    ///
    /// Rules of others that drop are no reason to leave instances that run to themselves, and may be gone in a minute.
    ///
    /// - Throws: `unavailable` with what is missing, and what to do about it.
    func checkTools() async throws {
        if let missing = await toolFindings().first(where: { $0.level == .error }) {
            let fix = missing.fix.map { "; \($0)" } ?? ""
            throw AgentError(.unavailable, code: "host_not_ready", "\(missing.subject): \(missing.message)\(fix)")
        }
        for finding in await ruleFindings() where finding.level != .ok {
            logger.warning(
                "the host's rules or settings are in the way",
                metadata: ["what": "\(finding.subject): \(finding.message)", "fix": "\(finding.fix ?? "")"]
            )
        }
    }

    public func findings() async -> [HostFinding] {
        var findings: [HostFinding] = []
        do {
            let survey = try await survey(of: links.links())
            findings.append(survey.forwardingFinding)
            do throws(AgentError) {
                try survey.checkConflicts(configuration)
                findings.append(
                    HostFinding(.ok, "subnet", "\(configuration.subnet) is free for '\(configuration.bridge)'")
                )
            } catch {
                findings.append(HostFinding(.error, "network", error.message))
            }
            do throws(AgentError) {
                if let uplink = try survey.uplink(for: configuration) {
                    findings.append(HostFinding(.ok, "uplink", "\(uplink.name), MTU \(uplink.mtu)"))
                } else {
                    findings.append(
                        HostFinding(
                            .warning,
                            "uplink",
                            "this host has no default route: instances reach it and nothing else",
                            fix: "set UPLINK_INTERFACE to the interface that leads out"
                        )
                    )
                }
            } catch {
                findings.append(HostFinding(.error, "uplink", error.message))
            }
        } catch {
            findings.append(HostFinding(.error, "network", "\(error)"))
        }
        return findings + (await toolFindings()) + (await ruleFindings())
    }
}

import AgentCore
import Glibc

extension NameService {
    /// The first that has `--dhcp-ignore-clid`; 2.90 is what is tested.
    static let oldestVersion = (2, 81)

    /// What `check` should say about this host's dnsmasq, and about who is in its way.
    ///
    /// Nothing is started or changed; the bridge need not be there.
    func findings() async -> [HostFinding] {
        var findings: [HostFinding] = []
        do {
            findings.append(try await versionFinding())
            findings += try await portFindings()
        } catch {
            findings.append(HostFinding(.warning, Self.dnsmasq.name, "it cannot be looked at: \(error)"))
        }
        return findings
    }

    private func versionFinding() async throws -> HostFinding {
        let fix = "apt-get install \(Self.dnsmasq.package)"
        let result: HostTool.Result
        do {
            result = try await Self.dnsmasq.run(["--version"], in: HostNetwork())
        } catch let error as AgentError where error.code == "tool_missing" {
            return HostFinding(
                .error,
                Self.dnsmasq.name,
                "it is not installed; it is the instances' DHCP and name server",
                fix: fix
            )
        }
        // "Dnsmasq version 2.90  Copyright (c) ..."
        let words = result.output.split(separator: " ", maxSplits: 3)
        let numbers = words.count > 2 ? words[2].split(separator: ".").map { Int($0.prefix { $0.isNumber }) } : []
        guard numbers.count > 1, let major = numbers[0], let minor = numbers[1] else {
            return HostFinding(.warning, Self.dnsmasq.name, "its version is not known: '\(result.output.prefix(60))'")
        }
        guard (major, minor) >= Self.oldestVersion else {
            let oldest = "\(Self.oldestVersion.0).\(Self.oldestVersion.1)"
            return HostFinding(
                .error,
                Self.dnsmasq.name,
                "version \(major).\(minor) is too old, \(oldest) or later is needed",
                fix: fix
            )
        }
        return HostFinding(.ok, Self.dnsmasq.name, "version \(major).\(minor)")
    }

    private func portFindings() async throws -> [HostFinding] {
        let own = try await supervisor.find(mark: mark).map { Listener.Owner(process: $0.identity.pid) }
        let result = try await HostTool(name: "ss", package: "iproute2")
            .run(["-Hlntupe", "( sport = :53 or sport = :67 )"], in: network)
        guard result.isSuccess else {
            return [HostFinding(.warning, "ports", "ss does not say who listens: \(result.errors)")]
        }
        let listeners = result.output.split(separator: "\n").compactMap { Listener($0) }
        return listeners.filter { listener in
            listener.isInTheWay(of: configuration) && !own.contains(where: listener.belongs(to:))
        }.map { listener in
            let who = listener.processes.map { "\($0.name) (pid \($0.pid))" }.joined(separator: ", ")
            return HostFinding(
                .error,
                "port \(listener.port)/\(listener.transport)",
                "\(who.isEmpty ? "another user's program" : who) listens on \(listener.address), which includes the "
                    + "bridge's address \(configuration.gateway)",
                fix: "restrict that program to the addresses and interfaces that it serves (dnsmasq: bind-dynamic with "
                    + "interface=; unbound: interface:; named: listen-on), or stop it"
            )
        }
    }
}

/// A socket that is listened on, as `ss` prints it (ss(8)).
struct Listener: Hashable {
    struct Process: Hashable {
        var name: String
        var pid: Int32
    }

    /// Who may have made a socket.
    struct Owner: Hashable {
        var pid: Int32
        /// nil for a process that is gone.
        var user: UInt32?

        init(pid: Int32, user: UInt32?) {
            self.pid = pid
            self.user = user
        }

        init(process pid: Int32) {
            var status = stat()
            self.init(pid: pid, user: stat("/proc/\(pid)", &status) == 0 ? status.st_uid : nil)
        }
    }

    var transport: String
    /// Without a zone.
    var address: String
    /// The device that it is bound to.
    var device: String?
    var port: Int
    /// Empty where this user may not see them.
    var processes: [Process]
    /// Who made it, where ``processes`` is empty.
    var user: UInt32?

    /// Reads `udp UNCONN 0 0 10.0.0.1%br0:53 0.0.0.0:* users:(("dnsmasq",pid=12,fd=4)) uid:5 ino:7`, of another user's
    /// without the word `users`, of root's without `uid`; nil if it is anything else.
    init?(_ line: Substring) {
        let fields = line.split(separator: " ", maxSplits: 6, omittingEmptySubsequences: true)
        guard fields.count >= 6, let colon = fields[4].lastIndex(of: ":"),
            let port = Int(fields[4][fields[4].index(after: colon)...])
        else { return nil }
        transport = String(fields[0])
        self.port = port
        let place = fields[4][..<colon].split(separator: "%", maxSplits: 1)
        address = place.first.map(String.init) ?? "*"
        device = place.count > 1 ? String(place[1]) : nil
        let rest = fields.count > 6 ? fields[6] : ""
        processes = Self.processes(rest)
        if processes.isEmpty {
            user = rest.hasPrefix("uid:") ? UInt32(rest.dropFirst(4).prefix { $0.isASCII && $0.isNumber }) : 0
        }
    }

    /// Whether it is a process's, as far as this user can tell: of another user's sockets it sees the user alone, and where
    /// name services are units each is a user of its own.
    func belongs(to owner: Owner) -> Bool {
        processes.isEmpty ? user != nil && user == owner.user : processes.contains { $0.pid == owner.pid }
    }

    private static func processes(_ text: Substring) -> [Process] {
        // A program may call itself anything: what counts is behind the last quote of each part.
        text.split(separator: "(").compactMap { part in
            guard let quote = part.lastIndex(of: "\""), quote > part.startIndex,
                part.first == "\""
            else { return nil }
            let rest = part[part.index(after: quote)...].split(separator: ",")
            guard let pid = rest.first(where: { $0.hasPrefix("pid=") }).flatMap({ Int32($0.dropFirst(4)) }) else {
                return nil
            }
            return Process(name: String(part[part.index(after: part.startIndex)..<quote]), pid: pid)
        }
    }

    /// Whether a network's dnsmasq could not listen as well.
    func isInTheWay(of configuration: BridgeConfiguration) -> Bool {
        if let device, device != configuration.bridge { return false }
        switch address {
        case "*", "0.0.0.0", "[::]": return true
        default: return IPv4Address(address) == configuration.gateway
        }
    }
}

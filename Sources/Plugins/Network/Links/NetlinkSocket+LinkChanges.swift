import AgentCore
import CNetwork
import Glibc

/// What all kinds of links have in common.
extension NetlinkSocket {
    mutating func removeLink(named name: String) throws {
        try send(LinkMessages.remove(name), tolerating: [NetlinkError.noDevice])
    }

    /// A link that was made before and carries our mark, or nil.
    ///
    /// - Throws: `alreadyExists` if the name is another's: `link_kind_conflict` for another kind of device,
    ///   `link_not_ours` for one without the mark.
    mutating func ownLink(named name: String, kind: String, alias: String) throws -> Link? {
        guard !name.isEmpty, name.utf8.count < Int(IFNAMSIZ), !name.contains(where: { "/%: \n".contains($0) }) else {
            throw AgentError(.invalidArgument, "'\(name)' cannot be the name of a link: it has 1 to 15 plain bytes")
        }
        guard let link = try link(named: name) else { return nil }
        guard link.kind == kind else {
            throw AgentError(
                .alreadyExists,
                code: "link_kind_conflict",
                "there is a link '\(name)' already, and it is no \(kind) but \(link.kind ?? "hardware"): "
                    + "remove it, or configure another name"
            )
        }
        guard link.alias == alias else {
            throw AgentError(
                .alreadyExists,
                code: "link_not_ours",
                "there is a \(kind) '\(name)' already that the agent did not make (its alias is "
                    + "'\(link.alias ?? "")', not '\(alias)'): remove it, or configure another name"
            )
        }
        return link
    }

    /// Makes a link that is down and has our mark; both in one system call, so that no crash leaves one without it.
    mutating func createLink(
        _ name: String,
        kind: String,
        alias: String,
        _ content: (inout NetlinkMessage) -> Void = { _ in }
    ) throws -> Link {
        let failures = try transact([
            LinkMessages.create(name, kind: kind, content), LinkMessages.mark(name, alias: alias),
        ])
        // Then it is not ours to take back.
        if let failure = failures[0] { throw failure }
        guard let link = try link(named: name) else {
            throw NetlinkError(NetlinkError.noDevice, purpose: "create the link '\(name)'")
        }
        if let failure = failures[1] {
            try takeBack(link, after: failure)
            throw failure
        }
        return link
    }

    /// Turns IPv6 off on one link, where the kernel has it: netlink has no message for that.
    ///
    /// (disable_ipv6, in the kernel's Documentation/networking/ip-sysctl.rst.)
    func disableIPv6(on name: String) throws {
        try Sysctl.set("net/ipv6/conf/\(name)/disable_ipv6", to: "1")
    }

    /// Removes a link that was just made, as something behind it failed.
    mutating func takeBack(_ link: Link, after failure: any Error) throws {
        do {
            try removeLink(named: link.name)
        } catch {
            throw AgentError(.unavailable, "the link '\(link.name)' is left behind (\(error))", cause: failure)
        }
    }
}

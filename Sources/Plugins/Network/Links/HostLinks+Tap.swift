import AgentCore
import CNetwork
import Glibc
import SystemPackage

extension HostLinks {
    /// Makes an instance's TAP with all that belongs to it (port, forwarding and neighbour entry, limits), up and ready
    /// to be opened by its VMM; or brings one that was made before in line, also while a VMM has it open.
    ///
    /// Costs the same however many ports the bridge has.
    ///
    /// - Returns: Its number.
    /// - Throws: `alreadyExists` `link_kind_conflict` or `link_not_ours` if the name is another's, `quotaExceeded`
    ///   `bridge_full`. Nothing is left of a TAP that could not be made.
    @discardableResult
    func createTap(_ tap: TapDescription) async throws -> Int32 {
        try await route { socket in
            if let link = try socket.ownLink(named: tap.name, kind: "tun", alias: tap.alias) {
                try socket.repairTap(tap, link)
                return link.index
            }
            return try socket.createTap(tap)
        }
    }

    /// Removes a TAP, with its forwarding and neighbour entry, and the device for its upload limit.
    ///
    /// Also while a VMM has it open, which then reads nothing any more. Nothing happens where there is none. No table is
    /// read for it: those grow with the number of instances.
    ///
    /// - Parameters:
    ///   - name: Of the TAP.
    ///   - address: The instance's; nil if it is not known, then the neighbour entry stays.
    ///   - ifb: Of the device for its limit.
    /// - Throws: As the others.
    func removeTap(named name: String, address: IPv4Address?, ifb: String) async throws {
        try await route { socket in
            if let link = try socket.link(named: name), link.kind == "tun" {
                // The forwarding entry vanishes with the port; that of the host's table belongs to the bridge.
                if let bridge = link.master, let address {
                    try socket.send(
                        PortMessages.neighbour(RTM_DELNEIGH, address, nil, bridge: bridge),
                        tolerating: [.noSuchFileOrDirectory]
                    )
                }
                try socket.removeLink(named: name)
            }
            if try socket.link(named: ifb)?.kind == "ifb" { try socket.removeLink(named: ifb) }
        }
    }
}

extension NetlinkSocket {
    /// Makes one; it is gone if this process ends before everything but its start is done.
    mutating func createTap(_ tap: TapDescription) throws -> Int32 {
        let device = try TapDevice(tap.name, isNew: true)
        guard var link = try link(named: tap.name) else {
            throw NetlinkError(NetlinkError.noDevice, purpose: "find the TAP '\(tap.name)' that was just made")
        }
        link.mtu = tap.mtu
        do {
            try device.setOwner(tap.owner, group: tap.group)
            try disableIPv6(on: tap.name)
            try send(PortMessages.attach(tap, index: link.index))
            try setLimits(tap.limits, tap: link, ifb: tap.ifb, alias: tap.alias, isNew: true)
            try device.persist()
            try send(PortMessages.start(tap, index: link.index))
            try awaitRelease(of: link)
            return link.index
        } catch {
            try undo(tap, after: error)
            throw error
        }
    }

    /// What the device does not take with it when it vanishes, and the device where it was persistent already.
    private mutating func undo(_ tap: TapDescription, after failure: any Error) throws {
        do {
            try send(
                [
                    PortMessages.neighbour(RTM_DELNEIGH, tap.address, nil, bridge: tap.bridge),
                    LinkMessages.remove(tap.name),
                ],
                tolerating: [.noSuchFileOrDirectory, NetlinkError.noDevice, NetlinkError.noAddress]
            )
            if let ifb = try link(named: tap.ifb), ifb.kind == "ifb", ifb.alias == tap.alias {
                try removeLink(named: tap.ifb)
            }
        } catch {
            throw AgentError(.unavailable, "parts of the TAP '\(tap.name)' are left behind (\(error))", cause: failure)
        }
    }

    /// Brings one in line that was made before.
    mutating func repairTap(_ tap: TapDescription, _ found: Link) throws {
        var link = found
        link.mtu = tap.mtu
        if !link.hasCarrier,
            tap.owner.map({ $0 != link.owner }) ?? false || tap.group.map({ $0 != link.group }) ?? false
        {
            // Opened only where it must be, as no VMM can open it meanwhile; who has it open already may go on.
            let device = try TapDevice(tap.name, isNew: false)
            try device.setOwner(tap.owner, group: tap.group)
        }
        try disableIPv6(on: tap.name)
        if link.master == tap.bridge {
            for stale in try forwardingEntries(ofPort: link.index) where stale.mac != tap.mac {
                try send(PortMessages.forwarding(RTM_DELNEIGH, stale.mac, port: tap.name, index: link.index))
            }
        }
        try send(PortMessages.attach(tap, index: link.index))
        try setLimits(tap.limits, tap: link, ifb: tap.ifb, alias: tap.alias, isNew: false)
        try send(PortMessages.start(tap, index: link.index))
    }

    /// Waits until the VMM can open a TAP that this process had open.
    ///
    /// A process that another thread has just started shares its descriptors until it executes its program, and one
    /// process at a time can have a TAP open.
    private mutating func awaitRelease(of tap: Link) throws {
        for _ in 0..<Self.releaseAttempts {
            guard try link(at: tap.index)?.hasCarrier == true else { return }
            usleep(Self.releaseInterval)
        }
        throw NetlinkError(.resourceBusy, purpose: "close the TAP '\(tap.name)'", detail: "a process has it open")
    }

    /// Five seconds in all, where a process needs a millisecond.
    private static var releaseAttempts: Int { 5000 }
    private static var releaseInterval: UInt32 { 1000 }
}

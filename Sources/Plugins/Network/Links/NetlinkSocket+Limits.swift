import AgentCore
import CNetwork
import SystemPackage

extension NetlinkSocket {
    /// Limits an instance's traffic, or lifts the limits that are nil; what is right already stays.
    ///
    /// What the instance is sent is limited on the TAP, and what it sends on a device of its own (an ifb) that the TAP's
    /// input is led through: a class on the bridge never sees it, and one device for all would let an instance use up
    /// another's share. Where the TAP was just made, there is nothing to lift.
    mutating func setLimits(
        _ limits: BandwidthLimits,
        tap: Link,
        ifb: String,
        alias: String,
        isNew: Bool
    ) throws {
        if let download = limits.download {
            try send(LimitMessages.limit(tap.name, index: tap.index, TokenBucket(download, mtu: tap.mtu)))
        } else if !isNew {
            // ENOENT: it has the kernel's default alone.
            try send(LimitMessages.unlimit(tap.name, index: tap.index), tolerating: [.noSuchFileOrDirectory])
        }
        if let upload = limits.upload {
            let device = try self.ifb(named: ifb, alias: alias)
            try send(
                [
                    LimitMessages.limit(ifb, index: device.index, TokenBucket(upload, mtu: tap.mtu)),
                    LinkMessages.up(ifb, index: device.index),
                ] + LimitMessages.redirect(tap.name, index: tap.index, to: device.index)
            )
        } else if !isNew {
            try send(LimitMessages.undirect(tap.name, index: tap.index), tolerating: [.noSuchFileOrDirectory])
            if try ownLink(named: ifb, kind: "ifb", alias: alias) != nil { try removeLink(named: ifb) }
        }
    }

    private mutating func ifb(named name: String, alias: String) throws -> Link {
        let link = try ownLink(named: name, kind: "ifb", alias: alias)
        let device = try link ?? createLink(name, kind: "ifb", alias: alias)
        try disableIPv6(on: name)
        return device
    }
}

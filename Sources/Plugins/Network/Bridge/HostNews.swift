import CNetwork
import Dispatch
import Glibc
import Synchronization
import SystemPackage

/// Tells when links or routes that a bridge network depends on change: its uplink, the bridge, the default route
/// (rtnetlink(7), RTNLGRP_LINK and RTNLGRP_IPV4_ROUTE).
///
/// What the network does itself, and what happens to other devices, is passed over.
final class HostNews: Sendable {
    /// How a device was when it was looked at last.
    struct Device: Sendable, Hashable {
        var isUp: Bool
        var mtu: Int
    }

    private let socket: NetlinkSocket
    private let watched = Mutex<[String: Device?]>([:])
    private let tell: @Sendable () -> Void
    // Written once, in init; dispatch sources may be cancelled from any thread.
    nonisolated(unsafe) private let source: any DispatchSourceRead

    /// Begins to listen; in the namespace of the calling thread.
    ///
    /// - Parameter tell: Called after each change, from any thread.
    /// - Throws: ``NetlinkError``.
    init(_ tell: @escaping @Sendable () -> Void) throws {
        let groups = [RTNLGRP_LINK, RTNLGRP_IPV4_ROUTE].map { UInt32($0.rawValue) }
        socket = try NetlinkSocket(.route, groups: groups)
        self.tell = tell
        source = DispatchSource.makeReadSource(
            fileDescriptor: socket.descriptor,
            queue: DispatchQueue(label: "hypeman.host-news")
        )
        source.setEventHandler { [weak self] in self?.read() }
    }

    /// Starts to tell; until ``stop()``.
    func start() {
        // The descriptor has to outlive the source that looks at it.
        source.setCancelHandler { [self] in withExtendedLifetime(self) {} }
        source.activate()
    }

    /// Ends it; what is told after that was under way already.
    func stop() { source.cancel() }

    /// Says which devices matter: those that should be there, as they are, and nil for one that isn't.
    func watch(_ devices: [String: Device?]) { watched.withLock { $0 = devices } }

    private func read() {
        var isConcerned = false
        reading: while true {
            do {
                let replies = try socket.receive(purpose: "hear of links and routes", isWaiting: false)
                let devices = watched.withLock { $0 }
                if replies.contains(where: { Self.concerns($0, devices) }) { isConcerned = true }
            } catch let error as NetlinkError where error.errno == .wouldBlock {
                break reading
            } catch {
                // Some were lost (ENOBUFS), or not understood: what they said is not known.
                isConcerned = true
                if (error as? NetlinkError)?.errno != .noBufferSpace { break reading }
            }
        }
        if isConcerned { tell() }
    }

    /// Whether a message tells something that the network has to follow; pure.
    static func concerns(_ reply: NetlinkReply, _ devices: [String: Device?]) -> Bool {
        switch Int(reply.type) {
        case RTM_NEWROUTE, RTM_DELROUTE:
            guard let header = reply.payload.value(rtmsg.self) else { return false }
            let table = reply.attributes(after: rtmsg.self).number(RTA_TABLE.rawValue, UInt32.self)
            return header.rtm_dst_len == 0 && (table ?? UInt32(header.rtm_table)) == RT_TABLE_MAIN.rawValue
        case RTM_NEWLINK, RTM_DELLINK:
            // Bridges tell of their ports under this family; what it says is of the port alone.
            guard let header = reply.payload.value(ifinfomsg.self), header.ifi_family != UInt8(AF_BRIDGE),
                let name = reply.attributes(after: ifinfomsg.self).text(IFLA_IFNAME), let known = devices[name]
            else { return false }
            guard Int(reply.type) == RTM_NEWLINK, let link = Link(reply) else { return known != nil }
            return known != Device(isUp: link.isUp, mtu: link.mtu)
        default: return false
        }
    }
}

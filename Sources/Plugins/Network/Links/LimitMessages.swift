import CNetwork
import Glibc

/// Requests about traffic control (the TCA_… of linux/rtnetlink.h, linux/pkt_sched.h and linux/pkt_cls.h).
enum LimitMessages {
    /// The handle of our token bucket, 1:.
    private static let bucketHandle: UInt32 = 0x0001_0000
    /// The handle that an ingress qdisc always has, ffff:.
    private static let ingressHandle: UInt32 = 0xffff_0000
    /// 800::1, the first entry of the first table that u32 makes itself.
    private static let filterHandle: UInt32 = 0x8000_0001
    /// The first filter, for frames of all protocols (TC_H_MAKE of a priority and a protocol in network order).
    private static let filterOrder = UInt32(1) << 16 | UInt32(UInt16(ETH_P_ALL).bigEndian)

    /// Limits what a link sends; one that was set before is changed in place, and no frame is lost by it.
    static func limit(_ name: String, index: Int32, _ bucket: TokenBucket) -> NetlinkMessage {
        var message = NetlinkMessage(
            RTM_NEWQDISC,
            flags: NLM_F_CREATE | NLM_F_REPLACE,
            header: header(index, parent: TC_H_ROOT, handle: bucketHandle),
            purpose: "limit what '\(name)' sends"
        )
        message.put(TCA_KIND, text: "tbf")
        message.nest(TCA_OPTIONS) { options in
            var parameters = tc_tbf_qopt()
            parameters.rate.rate = UInt32(clamping: bucket.bytesPerSecond)
            // With the link layer said, no table of transmission times is needed (tbf_change in the kernel's
            // net/sched/sch_tbf.c); and with the burst in bytes, none in its clock's ticks.
            parameters.rate.linklayer = UInt8(TC_LINKLAYER_ETHERNET.rawValue)
            parameters.limit = bucket.limit
            options.put(TCA_TBF_PARMS, parameters)
            options.put(TCA_TBF_BURST, bucket.burst)
            if bucket.bytesPerSecond > UInt64(UInt32.max) { options.put(TCA_TBF_RATE64, bucket.bytesPerSecond) }
        }
        return message
    }

    /// Leads all that comes in on a link to another, to leave it there and come back.
    static func redirect(_ name: String, index: Int32, to other: Int32) -> [NetlinkMessage] {
        var ingress = NetlinkMessage(
            RTM_NEWQDISC,
            flags: NLM_F_CREATE,
            header: header(index, parent: TC_H_INGRESS, handle: ingressHandle),
            purpose: "filter what comes in on '\(name)'"
        )
        ingress.put(TCA_KIND, text: "ingress")
        var filter = NetlinkMessage(
            RTM_NEWTFILTER,
            flags: NLM_F_CREATE | NLM_F_REPLACE,
            header: header(index, parent: ingressHandle, handle: filterHandle, filter: filterOrder),
            purpose: "redirect what comes in on '\(name)'"
        )
        filter.put(TCA_KIND, text: "u32")
        filter.nest(TCA_OPTIONS) { options in
            // Without a key it matches every frame; with the usual one of no bits, those too short to hold it would pass
            // by the limit.
            var selector = tc_u32_sel()
            selector.flags = UInt8(TC_U32_TERMINAL)
            options.put(TCA_U32_SEL, bytes: withUnsafeBytes(of: selector, Array.init))
            options.nest(TCA_U32_ACT) { actions in
                actions.nest(1) { action in
                    action.put(TCA_ACT_KIND, text: "mirred")
                    action.nest(TCA_ACT_OPTIONS) {
                        var parameters = tc_mirred()
                        parameters.action = TC_ACT_STOLEN
                        parameters.eaction = TCA_EGRESS_REDIR
                        parameters.ifindex = UInt32(other)
                        $0.put(TCA_MIRRED_PARMS, parameters)
                    }
                }
            }
        }
        return [ingress, filter]
    }

    static func unlimit(_ name: String, index: Int32) -> NetlinkMessage {
        NetlinkMessage(
            RTM_DELQDISC,
            header: header(index, parent: TC_H_ROOT, handle: 0),
            purpose: "remove the limit of what '\(name)' sends"
        )
    }

    static func undirect(_ name: String, index: Int32) -> NetlinkMessage {
        NetlinkMessage(
            RTM_DELQDISC,
            header: header(index, parent: TC_H_INGRESS, handle: 0),
            purpose: "remove the limit of what '\(name)' receives"
        )
    }

    private static func header(
        _ index: Int32,
        parent: UInt32,
        handle: UInt32,
        filter: UInt32 = 0
    ) -> tcmsg {
        var header = tcmsg()
        header.tcm_ifindex = index
        header.tcm_parent = parent
        header.tcm_handle = handle
        header.tcm_info = filter
        return header
    }
}

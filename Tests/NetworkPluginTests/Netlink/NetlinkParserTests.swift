import AgentCore
import AgentTestSupport
import CNetwork
import SystemPackage
import Testing

@testable import NetworkPlugin

@Suite struct NetlinkParserTests {
    private static func sample() -> NetlinkMessage {
        var header = ifinfomsg()
        header.ifi_index = 7
        var message = NetlinkMessage(RTM_NEWLINK, header: header, purpose: "test")
        message.put(IFLA_IFNAME, text: "tap0")
        message.put(IFLA_MTU, UInt32(1400))
        message.nest(IFLA_LINKINFO) { information in
            information.put(IFLA_INFO_KIND, text: "tun")
            information.nest(IFLA_INFO_DATA) { $0.put(IFLA_TUN_TYPE, UInt8(2)) }
        }
        message.put(IFLA_ADDRESS, bytes: [2, 0, 0, 0, 0, 1])
        message.put(IFLA_CARRIER, UInt8(1))
        return message
    }

    @Test func aMessageIsLaidOutAsTheKernelWantsIt() {
        var message = NetlinkMessage(RTM_NEWLINK, flags: NLM_F_CREATE, header: UInt32(0xdead_beef), purpose: "test")
        message.put(3, text: "ab")
        message.nest(18) { $0.put(1, UInt8(5)) }
        #expect(
            message.encoded(sequence: 9, adding: NLM_F_REQUEST) == [
                40, 0, 0, 0, 16, 0, 1, 4, 9, 0, 0, 0, 0, 0, 0, 0, 0xef, 0xbe, 0xad, 0xde,
                7, 0, 3, 0, 97, 98, 0, 0, 12, 0, 18, 0x80, 5, 0, 1, 0, 5, 0, 0, 0,
            ]
        )
    }

    @Test func aLinkIsReadBack() throws {
        let datagram = Self.sample().encoded(sequence: 1, adding: 0)
        let link = try #require(try NetlinkReply.messages(in: datagram).first.flatMap(Link.init))
        #expect(link.name == "tap0" && link.index == 7 && link.mtu == 1400 && link.kind == "tun" && link.hasCarrier)
        #expect(link.mac?.description == "02:00:00:00:00:01")
    }

    @Test func anAnswerThatIsCutOffAnywhereIsRefusedOrShorter() throws {
        let datagram = Self.sample().encoded(sequence: 1, adding: 0)
        for count in 1..<datagram.count {
            #expect(throws: NetlinkError.self) { try NetlinkReply.messages(in: Array(datagram.prefix(count))) }
            // The same with a header that fits: then the attributes are cut off.
            var cut = Array(datagram.prefix(count))
            guard count >= MemoryLayout<nlmsghdr>.size else { continue }
            withUnsafeBytes(of: UInt32(count)) { cut.replaceSubrange(0..<4, with: $0) }
            _ = try NetlinkReply.messages(in: cut).map(Link.init)
        }
    }

    @Test func noGarbageIsReadBeyondItsEnd() {
        var random = SplitMix(state: 20261123)
        let sample = Self.sample().encoded(sequence: 1, adding: 0)
        var read = 0
        for _ in 0..<20_000 {
            var datagram = sample
            for _ in 0..<Int.random(in: 1...6, using: &random) {
                datagram[Int.random(in: datagram.indices, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            // In the middle of a larger array, so that reading on would find something; its last index bounds all.
            let replies = (try? NetlinkReply.messages(in: datagram)) ?? []
            for reply in replies {
                #expect(reply.payload.endIndex <= datagram.count)
                read += NetlinkParserTests.walk(
                    reply.attributes(after: ifinfomsg.self),
                    within: reply.payload,
                    depth: 3
                )
                _ = (Link(reply), ForwardingEntry(reply), RouteEntry(reply), Connection(reply))
                _ = HostNews.concerns(reply, ["tap0": nil])
                _ = reply.failure(purpose: "test")
            }
        }
        #expect(read > 10_000, "the garbage is too broken to test anything")
    }

    private static func walk(_ attributes: NetlinkAttributes, within: ArraySlice<UInt8>, depth: Int) -> Int {
        var count = 0
        attributes.forEach { _, content in
            count += 1
            #expect(content.startIndex >= within.startIndex && content.endIndex <= within.endIndex)
            if depth > 0 { count += walk(NetlinkAttributes(content), within: content, depth: depth - 1) }
        }
        return count
    }

    @Test func theKernelsWordsAreInTheError() throws {
        var body: [UInt8] = withUnsafeBytes(of: Int32(-22), Array.init) + [UInt8](repeating: 0, count: 16)
        body += [14, 0, 1, 0] + Array("bad index".utf8) + [0, 0, 0]
        var header = nlmsghdr()
        header.nlmsg_len = UInt32(16 + body.count)
        header.nlmsg_type = UInt16(NLMSG_ERROR)
        header.nlmsg_flags = UInt16(NLM_F_CAPPED | NLM_F_ACK_TLVS)
        let reply = try #require(try NetlinkReply.messages(in: withUnsafeBytes(of: header, Array.init) + body).first)
        let failure = try #require(reply.failure(purpose: "test"))
        #expect(failure.errno == .invalidArgument && failure.detail == "bad index")
    }
}

/// A generator whose numbers are the same each time (Steele, Lea, Flood: Fast splittable pseudorandom number generators).
private struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}

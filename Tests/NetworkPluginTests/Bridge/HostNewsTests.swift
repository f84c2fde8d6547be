import CNetwork
import Glibc
import Testing

@testable import NetworkPlugin

@Suite struct HostNewsTests {
    private static let watched: [String: HostNews.Device?] = [
        "eth0": HostNews.Device(isUp: true, mtu: 1500),
        "eth9": nil,
    ]

    private static func concerns(_ message: NetlinkMessage) throws -> Bool {
        let replies = try NetlinkReply.messages(in: message.encoded(sequence: 0, adding: 0))
        return HostNews.concerns(try #require(replies.first), watched)
    }

    private static func link(
        _ type: Int,
        _ name: String,
        isUp: Bool = true,
        mtu: UInt32 = 1500,
        family: Int32 = AF_UNSPEC
    ) -> NetlinkMessage {
        var header = ifinfomsg()
        header.ifi_family = UInt8(family)
        header.ifi_flags = isUp ? UInt32(IFF_UP) : 0
        var message = NetlinkMessage(type, header: header, purpose: "test")
        message.put(IFLA_IFNAME, text: name)
        message.put(IFLA_MTU, mtu)
        return message
    }

    private static func route(_ type: Int, length: UInt8, table: UInt32 = RT_TABLE_MAIN.rawValue) -> NetlinkMessage {
        var header = rtmsg()
        header.rtm_dst_len = length
        var message = NetlinkMessage(type, header: header, purpose: "test")
        message.put(RTA_TABLE.rawValue, table)
        return message
    }

    @Test func aWatchedDeviceMattersWhenItIsNotAsItWas() throws {
        #expect(try !Self.concerns(Self.link(RTM_NEWLINK, "eth0")))
        #expect(try Self.concerns(Self.link(RTM_NEWLINK, "eth0", mtu: 1400)))
        #expect(try Self.concerns(Self.link(RTM_NEWLINK, "eth0", isUp: false)))
        #expect(try Self.concerns(Self.link(RTM_DELLINK, "eth0")))
        #expect(try Self.concerns(Self.link(RTM_NEWLINK, "eth9")))
        #expect(try !Self.concerns(Self.link(RTM_DELLINK, "eth9")))
    }

    @Test func whatHappensToInstancesDevicesDoesNotMatter() throws {
        for type in [RTM_NEWLINK, RTM_DELLINK] { #expect(try !Self.concerns(Self.link(type, "hyptap0a640002"))) }
        // A port of a bridge that joins or leaves it is told of as if the device itself came or went.
        for type in [RTM_NEWLINK, RTM_DELLINK] {
            #expect(try !Self.concerns(Self.link(type, "eth0", isUp: false, family: AF_BRIDGE)))
        }
    }

    @Test func ofRoutesTheDefaultOneOfTheMainTableMatters() throws {
        for type in [RTM_NEWROUTE, RTM_DELROUTE] {
            #expect(try Self.concerns(Self.route(type, length: 0)))
            #expect(try !Self.concerns(Self.route(type, length: 24)))
            #expect(try !Self.concerns(Self.route(type, length: 0, table: 99)))
        }
    }
}

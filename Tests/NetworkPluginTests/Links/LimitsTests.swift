import AgentCore
import AgentTestSupport
import Foundation
import Testing

@testable import NetworkPlugin

/// Limits, with frames: the guest is this process on the TAP's other end, and what arrives is counted in bytes of whole
/// frames, as the limit counts them.
///
/// One at a time, as they need the machine's time to offer more than the limit.
@Suite(.serialized) struct LimitsTests {
    private static let frameLength = 1514

    @Test(arguments: [10, 100]) func theDownloadIsLimitedWithinFivePercent(megabits: Int) async throws {
        try await LinkFixture.with { fixture in
            let rate = BitRate(bitsPerSecond: megabits * 1_000_000)
            let tap = fixture.tap(2, limits: BandwidthLimits(download: rate))
            try await fixture.links.createTap(tap)
            let guest = try await Guest.open(tap, in: fixture)
            let socket = try await DatagramSocket.open(in: fixture)
            // 28 bytes of headers: with them it is a packet of the link's MTU.
            let datagram = [UInt8](repeating: 0, count: 1472)
            let sender = Sender(bytesPerSecond: 4 * megabits * 125_000, frameLength: Self.frameLength) {
                socket.send(datagram, to: tap.address)
            }
            try await Self.expectRate(rate) { guest.receivedBytes }
            sender.stop()
        }
    }

    @Test(arguments: [10, 100]) func theUploadIsLimitedWithinFivePercent(megabits: Int) async throws {
        try await LinkFixture.with { fixture in
            let rate = BitRate(bitsPerSecond: megabits * 1_000_000)
            let tap = fixture.tap(2, limits: BandwidthLimits(upload: rate))
            try await fixture.links.createTap(tap)
            let guest = try await Guest.open(tap, in: fixture)
            let frame = GuestFrame.udp(from: tap, to: fixture.bridge, length: Self.frameLength)
            let sender = Sender(bytesPerSecond: 4 * megabits * 125_000, frameLength: Self.frameLength) {
                try? guest.send(frame)
            }
            // What the bridge receives of all that the guest sends.
            try await Self.expectRate(rate) {
                let packets = try await fixture.links.link(named: "hbr0")?.statistics.receivedPackets ?? 0
                return Int(packets) * Self.frameLength
            }
            sender.stop()
        }
    }

    @Test func aLimitIsChangedInPlaceAndLifted() async throws {
        try await LinkFixture.with { fixture in
            var tap = fixture.tap(2)
            try await fixture.links.createTap(tap)
            let before = try await fixture.traces()
            for megabits in [10, 20, 20] {
                let rate = BitRate(bitsPerSecond: megabits * 1_000_000)
                tap.limits = BandwidthLimits(download: rate, upload: rate)
                try await fixture.links.createTap(tap)
                let qdiscs = try await fixture.namespace.run("tc", "qdisc")
                let buckets = qdiscs.split(separator: "\n").filter { $0.contains("qdisc tbf 1: ") }
                #expect(buckets.count == 2 && buckets.allSatisfy { $0.contains("rate \(megabits)Mbit") })
                let filters = try await fixture.namespace.run("tc", "filter", "show", "dev", "htap2", "ingress")
                #expect(filters.components(separatedBy: "Egress Redirect to device hifb2").count == 2)
            }
            tap.limits = BandwidthLimits(download: BitRate(bitsPerSecond: 1_000_000))
            try await fixture.links.createTap(tap)
            #expect(try await fixture.links.link(named: "hifb2") == nil)
            tap.limits = BandwidthLimits()
            for _ in 0..<2 { try await fixture.links.createTap(tap) }
            #expect(try await fixture.traces() == before)
        }
    }

    @Test func aRateBeyondThirtyTwoBitsIsKept() async throws {
        try await LinkFixture.with { fixture in
            let rate = BitRate(bitsPerSecond: 100_000_000_000)
            try await fixture.links.createTap(fixture.tap(2, limits: BandwidthLimits(download: rate)))
            #expect(try await fixture.namespace.run("tc", "qdisc").contains("rate 100Gbit"))
        }
    }

    @Test func framesThatAreTooShortForAFilterAreLimitedToo() async throws {
        try await LinkFixture.with { fixture in
            let tap = fixture.tap(2, limits: BandwidthLimits(upload: BitRate(bitsPerSecond: 1_000_000)))
            try await fixture.links.createTap(tap)
            let guest = try await Guest.open(tap, in: fixture)
            // Headers alone, of a protocol for experiments (IEEE 802, local experimental Ethertype 1).
            for _ in 0..<5 {
                try guest.send(fixture.bridge.mac.map(\.bytes).map { $0 + tap.mac.bytes + [0x88, 0xb5] } ?? [])
            }
            #expect(try await fixture.links.link(named: tap.ifb)?.statistics.receivedPackets == 5)
        }
    }

    @Test(arguments: [1_000_000, 10_000_000, 100_000_000, 1_000_000_000, 100_000_000_000])
    func aBucketHoldsAFrameAndNoMoreThanFitsAFewMilliseconds(rate: Int) {
        for mtu in [1500, 9000] {
            let bucket = TokenBucket(BitRate(bitsPerSecond: rate), mtu: mtu)
            #expect(bucket.burst >= UInt32(mtu + 18) && bucket.limit > bucket.burst)
            #expect(Int(bucket.burst) <= max(2 * (mtu + 18), rate / 8 / 50))
            let delay = Double(bucket.limit) * 8 / Double(rate)
            #expect(delay <= 0.5)
        }
    }

    /// Expects that a counter grows with a rate, over 3 seconds.
    ///
    /// A machine that has no time to offer enough or to read all shows less, so that there are some attempts; too much
    /// is a fault at once.
    private static func expectRate(_ rate: BitRate, _ counter: () async throws -> Int) async throws {
        let clock = ContinuousClock()
        var measured: [Double] = []
        // The first is what the bucket held, and what it takes to begin.
        try await clock.sleep(for: .milliseconds(300))
        for _ in 0..<10 {
            let (start, from) = (try await counter(), clock.now)
            try await clock.sleep(for: .seconds(3))
            let (end, to) = (try await counter(), clock.now)
            let bits = Double(end - start) * 8 / ((to - from) / .seconds(1))
            measured.append((bits / Double(rate.bitsPerSecond) * 10_000).rounded() / 100)
            #expect(measured.allSatisfy { $0 <= 105 }, "of the limit, in percent: \(measured)")
            if measured.contains(where: { $0 >= 95 }) { break }
        }
        print("limit \(rate): \(measured) % of it")
        #expect(measured.contains { (95...105).contains($0) }, "of the limit, in percent: \(measured)")
    }
}

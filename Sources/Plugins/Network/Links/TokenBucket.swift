import AgentCore
import CNetwork

/// The parameters of a token bucket filter (tc-tbf(8)) for a rate.
///
/// Frames are counted whole, with their Ethernet header, as `tc` does.
struct TokenBucket: Sendable, Hashable {
    let bytesPerSecond: UInt64
    /// How much may go at once after silence, in bytes.
    let burst: UInt32
    /// How much may wait, in bytes; more is dropped.
    let limit: UInt32

    /// Ethernet's header with a VLAN tag (linux/if_ether.h, linux/if_vlan.h).
    private static let frameOverhead: UInt64 = 18
    /// For how long what was not sent can be made up for.
    ///
    /// The kernel's timers are exact, but the host may be late by some milliseconds, and then the rate is not reached
    /// without. More would let short transfers exceed it.
    private static let burstTime: (numerator: UInt64, denominator: UInt64) = (1, 50)
    /// The delay of a link that is full: enough that a TCP connection keeps its rate, and no longer.
    private static let queueTime: (numerator: UInt64, denominator: UInt64) = (1, 20)
    /// So that slow links hold some frames, too.
    private static let minimumQueue: UInt64 = 32 << 10

    /// Chooses them.
    ///
    /// - Parameters:
    ///   - rate: At least one byte a second.
    ///   - mtu: Of the link. Larger packets, that a guest leaves to its card to divide, are divided where they do not
    ///     fit the bucket.
    init(_ rate: BitRate, mtu: Int) {
        bytesPerSecond = UInt64(max(8, rate.bitsPerSecond)) / 8
        let frame = UInt64(mtu) + Self.frameOverhead
        let burst = max(bytesPerSecond * Self.burstTime.numerator / Self.burstTime.denominator, 2 * frame)
        self.burst = UInt32(clamping: burst)
        let queue = max(bytesPerSecond * Self.queueTime.numerator / Self.queueTime.denominator, Self.minimumQueue)
        limit = UInt32(clamping: queue + burst)
    }
}

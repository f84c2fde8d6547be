import CInit
import Glibc
import GuestProtocol

/// What a guest does with the news after a standstill of its vCPUs.
///
/// The two effects need a kernel that is the guest's own; whoever has none gives others.
public struct Awakening: Sendable {
    /// Why news were not taken.
    struct Failure {
        var message: String
        /// Whether the news make no sense; otherwise the kernel did not do it.
        var isRefusal: Bool
    }

    /// The longest seed that is taken, in bytes.
    static let maximumEntropy = 512
    /// 2020-01-01: a host whose own clock is behind that has none.
    private static let earliest = 1_577_836_800 * 1_000_000_000

    private let setTime: @Sendable (_ unixNanoseconds: Int) -> Int32
    private let seed: @Sendable (_ bytes: [UInt8]) -> Int32

    /// - Parameters:
    ///   - setTime: Sets the system's clock; 0 or a negated errno.
    ///   - seed: Adds to the random numbers' pool and draws all from it anew; 0 or a negated errno.
    public init(
        setTime: @escaping @Sendable (_ unixNanoseconds: Int) -> Int32,
        seed: @escaping @Sendable (_ bytes: [UInt8]) -> Int32
    ) {
        self.setTime = setTime
        self.seed = seed
    }

    /// On this kernel, as one who may.
    public static let kernel = Awakening(
        setTime: { hypeman_set_time(Int64($0)) },
        seed: { bytes in bytes.withUnsafeBytes { hypeman_seed_random($0.baseAddress, $0.count) } }
    )

    /// Does it; the random numbers first, for they are what a copy must not share for a moment.
    ///
    /// - Returns: What went wrong, nil if nothing did.
    func apply(_ news: GuestWakeUp) -> Failure? {
        guard news.entropy.count <= Self.maximumEntropy else {
            return Failure(message: "\(news.entropy.count) bytes of entropy are too many", isRefusal: true)
        }
        guard news.unixNanoseconds >= Self.earliest else {
            return Failure(message: "the time \(news.unixNanoseconds) ns is before 2020", isRefusal: true)
        }
        if !news.entropy.isEmpty {
            let result = seed(news.entropy)
            guard result == 0 else { return Self.failure("seed the random numbers", result) }
        }
        let result = setTime(news.unixNanoseconds)
        return result == 0 ? nil : Self.failure("set the clock", result)
    }

    private static func failure(_ what: String, _ error: Int32) -> Failure {
        Failure(message: "cannot \(what): \(String(cString: strerror(-error)))", isRefusal: false)
    }
}

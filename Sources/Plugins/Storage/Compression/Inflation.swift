import AgentCore
import Tar

/// Watches how much a compressed stream grows: the guard against bombs.
struct Inflation {
    let limits: ImageLimits
    private(set) var consumed = 0
    private(set) var produced = 0

    init(limits: ImageLimits) { self.limits = limits }

    mutating func consume(_ count: Int) { consumed += count }

    mutating func produce(_ count: Int) throws {
        produced += count
        guard produced <= limits.maximumSize.bytes else {
            throw DecodingFailure("it unpacks to more than \(limits.maximumSize), which is the limit")
        }
        guard produced <= limits.freeInflation.bytes || produced / limits.maximumInflateRatio <= consumed else {
            throw DecodingFailure(
                "it unpacks to over \(limits.maximumInflateRatio) times its size, which looks like a decompression bomb"
            )
        }
    }
}

import Synchronization

/// Slows down those who try tokens: after too many failures from an address, it is refused for a while, whatever it sends.
final class FailureLimiter: Sendable {
    private struct Record {
        var failures: Int
        var since: ContinuousClock.Instant
    }

    private let records = Mutex<[String: Record]>([:])
    private let limit: Int
    private let window: Duration
    private let capacity: Int
    private let now: @Sendable () -> ContinuousClock.Instant

    /// Allows `limit` failures in each `window`, and remembers at most `capacity` addresses.
    init(
        limit: Int = 20,
        window: Duration = .seconds(60),
        capacity: Int = 4096,
        now: @escaping @Sendable () -> ContinuousClock.Instant = { .now }
    ) {
        self.limit = limit
        self.window = window
        self.capacity = capacity
        self.now = now
    }

    /// How long the address must still wait; nil if it needn't.
    func delay(for address: String) -> Duration? {
        let now = now()
        return records.withLock { records in
            guard let record = records[address], record.failures >= limit, record.since + window > now else {
                return nil
            }
            return record.since + window - now
        }
    }

    /// Counts a failure.
    func recordFailure(of address: String) {
        let now = now()
        records.withLock { records in
            if var record = records[address], record.since + window > now {
                record.failures += 1
                records[address] = record
                return
            }
            if records.count >= capacity {
                records = records.filter { $0.value.since + window > now }
                if records.count >= capacity, let oldest = records.min(by: { $0.value.since < $1.value.since }) {
                    records[oldest.key] = nil
                }
            }
            records[address] = Record(failures: 1, since: now)
        }
    }
}

/// Hands out runs of blocks, reusing those that were given back.
///
/// Runs are kept by the power of two they reach, and not joined again: every step takes bounded time whatever a hostile
/// image does, and the same requests always get the same blocks.
struct BlockAllocator {
    struct Run {
        var start: Int
        var count: Int
    }

    /// The end of what was ever handed out.
    private(set) var end: Int
    private var free: [[Run]] = Array(repeating: [], count: 64)

    init(start: Int) { end = start }

    /// What was given back and is not in use.
    var unused: [Run] { free.flatMap(\.self) }

    mutating func allocate(_ count: Int) -> Int {
        guard count > 0 else { return 0 }
        // Any run of the next class is long enough; in its own class only the newest are tried.
        for size in Self.sizeClass(count)..<free.count where !free[size].isEmpty {
            for index in free[size].indices.suffix(4).reversed() where free[size][index].count >= count {
                let run = free[size].remove(at: index)
                release(start: run.start + count, count: run.count - count)
                return run.start
            }
        }
        defer { end += count }
        return end
    }

    mutating func release(start: Int, count: Int) {
        guard count > 0 else { return }
        free[Self.sizeClass(count)].append(Run(start: start, count: count))
    }

    /// Gives back what of a run was not needed, all behind its first `used` blocks.
    mutating func cut(start: Int, count: Int, to used: Int) {
        if start + count == end {
            end = start + used
        } else {
            release(start: start + used, count: count - used)
        }
    }

    private static func sizeClass(_ count: Int) -> Int { Int.bitWidth - 1 - count.leadingZeroBitCount }
}

import AgentCore

/// What the disks of a machine were asked for, as QEMU counts it.
enum QEMUBlockCounters {
    private struct Device: Decodable, Sendable {
        struct Counters: Decodable, Sendable {
            var readBytes: UInt64
            var writtenBytes: UInt64
            var reads: UInt64
            var writes: UInt64

            enum CodingKeys: String, CodingKey {
                case readBytes = "rd_bytes"
                case writtenBytes = "wr_bytes"
                case reads = "rd_operations"
                case writes = "wr_operations"
            }
        }

        var stats: Counters
    }

    /// All disks together; what was taken out is not counted any more.
    static func read(_ control: QMPClient) async throws -> DiskCounters {
        let devices = try await control.execute("query-blockstats", QMPNothing?.none, returning: [Device].self)
        return devices.reduce(into: DiskCounters(readBytes: 0, writtenBytes: 0, reads: 0, writes: 0)) { sum, device in
            sum.readBytes += device.stats.readBytes
            sum.writtenBytes += device.stats.writtenBytes
            sum.reads += device.stats.reads
            sum.writes += device.stats.writes
        }
    }
}

import AgentCore
import AgentTestSupport
import Foundation
import SystemPackage
import Testing

@testable import HypervisorPlugin

/// How fast disks are in a real guest, and what is counted of it.
@Suite(.serialized) struct QEMUDiskLimitTests {
    @Test func disksOfOneGroupShareTheirLimit() async throws {
        let rate = 2 << 20
        let size = 6 << 20
        try await LiveGuest.with { guest in
            for slot in 0..<2 {
                var disk = try guest.disk("vol-\(slot)", slot: slot, size: size)
                disk.rateLimit = ByteSize(bytes: rate)
                disk.rateGroup = "both"
                try await guest.machine.attach(disk)
                _ = try await guest.path(of: disk.serial)
            }
            let before = try #require(try await guest.machine.counters().disks)
            let paths = try await [guest.path(of: "vol-0"), guest.path(of: "vol-1")]
            let start = ContinuousClock.now
            // Past the guest's cache, which would read ahead.
            let reads = paths.map { "dd if=\($0) of=/dev/null bs=64k iflag=direct 2>/dev/null &" }
            _ = try await guest.run(["sh", "-c", reads.joined(separator: " ") + " wait"])
            let seconds = (ContinuousClock.now - start) / .seconds(1)
            let expected = Double(2 * size) / Double(rate)
            #expect((expected * 0.9...expected * 1.1).contains(seconds), "\(seconds) s instead of \(expected) s")
            let after = try #require(try await guest.machine.counters().disks)
            #expect(after.readBytes - before.readBytes >= UInt64(2 * size))
            #expect(after.reads > before.reads)
        }
    }

    @Test func aDiskOfTheStartHasALimitOfItsOwn() async throws {
        let rate = 1 << 20
        let size = 4 << 20
        try await LiveGuest.with { machine, make in
            var disk = try make("vol-0", size)
            disk.rateLimit = ByteSize(bytes: rate)
            machine.disks.append(disk)
        } _: { guest in
            let path = try await guest.path(of: "vol-0")
            let before = try #require(try await guest.machine.counters().disks)
            let start = ContinuousClock.now
            _ = try await guest.run(["dd", "if=/dev/zero", "of=\(path)", "bs=64k", "count=64", "oflag=direct"])
            let seconds = (ContinuousClock.now - start) / .seconds(1)
            let expected = Double(size) / Double(rate)
            #expect((expected * 0.9...expected * 1.15).contains(seconds), "\(seconds) s instead of \(expected) s")
            let after = try #require(try await guest.machine.counters().disks)
            // The overlay's own writes are among them.
            #expect(after.writtenBytes - before.writtenBytes >= UInt64(size))
        }
    }
}

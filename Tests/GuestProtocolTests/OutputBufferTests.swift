import AgentTestSupport
import GuestProtocol
import Testing

@testable import GuestAgent

@Suite struct OutputBufferTests {
    private func read(_ buffer: OutputBuffer, from start: UInt64) -> (bytes: [UInt8], gaps: Int) {
        var position = start
        var bytes: [UInt8] = []
        var gaps = 0
        while let output = buffer.next(from: position) {
            if output.offset != position { gaps += 1 }
            bytes += output.bytes
            position = output.offset + UInt64(output.bytes.count)
        }
        return (bytes, gaps)
    }

    @Test func everyPositionCanBeReadFromUntilItIsAcknowledged() {
        var random = SeededGenerator(seed: 11)
        var buffer = OutputBuffer(capacity: 1 << 20)
        var all: [UInt8] = []
        for index in 0..<300 {
            let bytes = random.bytes(Int.random(in: 1..<900, using: &random))
            all += bytes
            buffer.append(bytes, of: index % 3 == 0 ? .stderr : .stdout, at: UInt64(index) * 3000)
        }
        #expect(buffer.end == UInt64(all.count))
        for start in stride(from: 0, through: all.count, by: 997) {
            let result = read(buffer, from: UInt64(start))
            #expect(result.bytes == Array(all[start...]) && result.gaps == 0)
        }
        buffer.acknowledge(upTo: UInt64(all.count / 2))
        #expect(read(buffer, from: UInt64(all.count / 2)).bytes == Array(all[(all.count / 2)...]))
        buffer.acknowledge(upTo: UInt64(all.count))
        #expect(buffer.next(from: 0) == nil)
    }

    @Test func droppingTheOldestLeavesAVisibleGapAndTheNewest() {
        var buffer = OutputBuffer(capacity: 10_000)
        for index in 0..<100 {
            buffer.dropUntilNotFull()
            buffer.append(
                [UInt8](repeating: UInt8(index), count: 1000),
                of: index.isMultiple(of: 2) ? .stdout : .stderr,
                at: 0
            )
        }
        #expect(buffer.end == 100_000)
        let (bytes, gaps) = read(buffer, from: 0)
        #expect(gaps == 1)
        #expect(bytes.last == 99)
        #expect(bytes.count <= 11_000)
    }

    @Test func manySmallWritesStayWithinTheBound() {
        var buffer = OutputBuffer(capacity: 10_000)
        var appended = 0
        while !buffer.isFull {
            buffer.append([1], of: appended.isMultiple(of: 2) ? .stdout : .stderr, at: 0)
            appended += 1
        }
        #expect(appended < 200)
    }

    @Test func neighbouringWritesOfOneStreamBecomeOnePiece() {
        var buffer = OutputBuffer(capacity: 10_000)
        buffer.append([1], of: .stdout, at: 0)
        buffer.append([2], of: .stdout, at: 5)
        buffer.append([3], of: .stderr, at: 6)
        buffer.append([4], of: .stderr, at: 5_000_000)
        #expect(buffer.next(from: 0)?.bytes == [1, 2])
        #expect(buffer.next(from: 2)?.bytes == [3])
        #expect(buffer.next(from: 3)?.uptimeMicroseconds == 5_000_000)
    }
}

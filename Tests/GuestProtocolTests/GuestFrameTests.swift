import AgentTestSupport
import GuestProtocol
import Testing

@Suite struct GuestFrameTests {
    @Test func framesSurviveAnySplitting() throws {
        var random = SeededGenerator(seed: 1)
        let frames = (0..<200).map { index in
            GuestFrame(GuestFrame.Kind(rawValue: UInt8(index)), random.bytes(Int.random(in: 0..<3000, using: &random)))
        }
        var rest = frames.flatMap(\.bytes)[...]
        var decoder = GuestFrameDecoder()
        var read: [GuestFrame] = []
        while !rest.isEmpty {
            let count = min(Int.random(in: 1..<5000, using: &random), rest.count)
            decoder.append(rest.prefix(count))
            rest = rest.dropFirst(count)
            while let frame = try decoder.next() { read.append(frame) }
        }
        #expect(read == frames)
        #expect(decoder.count == 0)
    }

    @Test func headerIsTypeAndBigEndianLength() {
        #expect(GuestFrame.header(.stdout, count: 0x01_0203) == [0x11, 0, 1, 2, 3])
    }

    @Test func longestFrameIsReadAndALongerOneRefusedFromItsHeader() throws {
        var decoder = GuestFrameDecoder()
        decoder.append(GuestFrame(.stdin, [UInt8](repeating: 1, count: GuestFrame.maximumPayload)).bytes)
        #expect(try decoder.next()?.payload.count == GuestFrame.maximumPayload)
        decoder.append([2, 0, 0x10, 0, 1])
        #expect(throws: GuestFrameError.self) { try decoder.next() }
    }

    @Test func outputSurvivesARoundTrip() throws {
        let output = GuestOutput(stream: .stderr, offset: 1 << 40, uptimeMicroseconds: .max, bytes: [1, 2, 3])
        #expect(try GuestOutput(framePayload: output.framePayload) == output)
    }

    @Test func malformedOutputIsRefused() {
        let good = GuestOutput(stream: .stdout, offset: 5, uptimeMicroseconds: 6, bytes: [1]).framePayload
        #expect(throws: GuestFrameError.self) { try GuestOutput(framePayload: Array(good.prefix(16))) }
        #expect(throws: GuestFrameError.self) { try GuestOutput(framePayload: [3] + good.dropFirst()) }
        let last = GuestOutput(stream: .stdout, offset: .max, uptimeMicroseconds: 6, bytes: [1]).framePayload
        #expect(throws: GuestFrameError.self) { try GuestOutput(framePayload: last) }
    }
}

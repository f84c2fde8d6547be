import Testing

@testable import hypeman

/// The way out of an attached program.
@Suite struct DetachKeysTests {
    @Test func controlCLeavesWhereItMeansNothingElse() {
        var program = DetachKeys()
        #expect(program.take([65, 3]) == ([65, 3], false))
        var console = DetachKeys(includingInterrupt: true)
        #expect(console.take([65]) == ([65], false))
        #expect(console.take([66, 3, 67]) == ([66], true))
    }

    @Test(
        arguments: [
            ([[0x10, 0x11]], [], true), ([[0x10], [0x11]], [], true), ([[65, 0x10, 0x11, 66]], [65], true),
            ([[0x10, 65]], [0x10, 65], false), ([[0x10], [65]], [0x10, 65], false), ([[0x11]], [0x11], false),
            ([[0x10, 0x10, 0x11]], [0x10], true), ([[0x10]], [], false),
            ([[0x10, 65, 0x11]], [0x10, 65, 0x11], false),
        ] as [([[UInt8]], [UInt8], Bool)]
    )
    func onlyBothKeysInARowLeave(typed: [[UInt8]], input: [UInt8], detaches: Bool) {
        var keys = DetachKeys()
        var sent: [UInt8] = []
        var hasLeft = false
        for bytes in typed where !hasLeft {
            let (input, detaches) = keys.take(bytes)
            sent += input
            hasLeft = detaches
        }
        #expect(sent == input)
        #expect(hasLeft == detaches)
    }
}

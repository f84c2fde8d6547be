import Foundation
import Testing

@testable import AgentCore

@Suite struct ChangeFeedTests {
    @Test func aSlowListenerLearnsOfEachThingOnce() async {
        let feed = ChangeFeed<Int>()
        let listener = feed.listen()
        for _ in 0..<1000 {
            feed.mark(1)
            feed.mark(2)
        }
        #expect(await listener.next() == [1, 2])
        feed.mark(3)
        #expect(await listener.next() == [3])
    }

    @Test func whoHasStoppedLearnsNothingAndWhoIsCancelledWaitsNoLonger() async {
        let feed = ChangeFeed<Int>()
        let (stopped, waiting) = (feed.listen(), feed.listen())
        stopped.stop()
        feed.mark(1)
        #expect(await waiting.next() == [1])
        let task = Task { await waiting.next() }
        task.cancel()
        #expect(await task.value == nil)
        let late = Task { await stopped.next() }
        late.cancel()
        #expect(await late.value == nil)
    }

    @Test func everyChangeOfAnInstanceIsMarkedOnceItCanBeRead() async throws {
        let directory = InstanceDirectory()
        let listener = directory.feed.listen()
        let specification = InstanceSpecification(
            name: try InstanceName("web"),
            image: "x",
            imageDigest: try #require(Digest(hex: String(repeating: "a", count: 64))),
            vcpus: 1,
            memory: .mebibytes(256),
            overlaySize: .gibibytes(1)
        )
        let instance = Instance(id: .random(), specification: specification, createdAt: .distantPast)
        directory.update(instance)
        #expect(await listener.next() == [instance.id])
        #expect(directory.get(instance.id) == instance)
        directory.remove(instance.id)
        #expect(await listener.next() == [instance.id])
        #expect(directory.get(instance.id) == nil)
    }
}

import AgentCore
import Synchronization
import Testing

/// Shared by the tasks of a test.
private final class Shared<Value: Sendable>: Sendable {
    let value: Mutex<Value>
    init(_ value: Value) { self.value = Mutex(value) }
}

@Suite struct FairSemaphoreTests {
    /// Waits until `count` tasks have come so far that only the semaphore holds them.
    private func settle() async {
        for _ in 0..<200 { await Task.yield() }
    }

    @Test func neverMoreInsideThanItsWidth() async throws {
        let semaphore = FairSemaphore(width: 2)
        let inside = Shared((now: 0, most: 0))
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<50 {
                group.addTask {
                    try await semaphore.withTurn {
                        inside.value.withLock { $0 = ($0.now + 1, max($0.most, $0.now + 1)) }
                        await Task.yield()
                        inside.value.withLock { $0.now -= 1 }
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(inside.value.withLock { $0.most } == 2)
    }

    @Test func turnsComeInTheOrderOfAsking() async throws {
        let semaphore = FairSemaphore(width: 1)
        let order = Shared<[Int]>([])
        let (gate, open) = AsyncStream.makeStream(of: Void.self)
        let first = Task { try await semaphore.withTurn { for await _ in gate {} } }
        await settle()
        var waiters: [Task<Void, any Error>] = []
        for number in 0..<5 {
            waiters.append(Task { try await semaphore.withTurn { order.value.withLock { $0.append(number) } } })
            await settle()
        }
        open.finish()
        try await first.value
        for waiter in waiters { try await waiter.value }
        #expect(order.value.withLock { $0 } == [0, 1, 2, 3, 4])
    }

    @Test func aCancelledWaiterLeavesAndTakesNoTurn() async throws {
        let semaphore = FairSemaphore(width: 1)
        let (gate, open) = AsyncStream.makeStream(of: Void.self)
        let holder = Task { try await semaphore.withTurn { for await _ in gate {} } }
        await settle()
        let waiter = Task { try await semaphore.withTurn {} }
        await settle()
        waiter.cancel()
        await #expect(throws: CancellationError.self) { try await waiter.value }
        open.finish()
        try await holder.value
        try await semaphore.withTurn {}
    }

    @Test func allTurnsKeepEveryoneOut() async throws {
        let semaphore = FairSemaphore(width: 3)
        let inside = Shared(0)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<30 {
                group.addTask {
                    if number % 10 == 0 {
                        try await semaphore.withAllTurns {
                            #expect(inside.value.withLock { $0 } == 0)
                            await Task.yield()
                            #expect(inside.value.withLock { $0 } == 0)
                        }
                    } else {
                        try await semaphore.withTurn {
                            inside.value.withLock { $0 += 1 }
                            await Task.yield()
                            inside.value.withLock { $0 -= 1 }
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
    }
}

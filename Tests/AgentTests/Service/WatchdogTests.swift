import AgentTestSupport
import Foundation
import Logging
import Synchronization
import Testing

@testable import hypeman_agent

struct WatchdogTests {
    struct Stuck: Error {}

    @Test func silenceFollowsALookThatFails() async throws {
        let path = "@hypeman-\(UUID())"
        let receiver = try DatagramReceiver(at: path)
        let notifier = ServiceNotifier(path: path, logger: Logger(label: "test"))
        let looks = Mutex(0)
        let (later, continuation) = AsyncStream.makeStream(of: Void.self)
        let watchdog = Watchdog(
            probe: {
                let look = looks.withLock { looks in
                    looks += 1
                    return looks
                }
                // The third hangs for ever and must be given up; so the fourth comes.
                if look == 2 { throw Stuck() }
                if look == 3 { try await Task.sleep(for: .seconds(600)) }
                if look == 5 { continuation.yield() }
                return "look \(look)"
            },
            notifier: notifier,
            interval: .milliseconds(40),
            clock: ContinuousClock(),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        )
        let task = Task { try await watchdog.run() }
        for await _ in later { break }
        task.cancel()
        _ = await task.result
        await notifier.flush()
        #expect(try receiver.receiveText() == "WATCHDOG=1")
        #expect(try receiver.receiveText() == "STATUS=look 1")
        #expect(try receiver.receiveText() == "WATCHDOG=1")
        #expect(try receiver.receiveText() == "STATUS=look 4")
    }
}

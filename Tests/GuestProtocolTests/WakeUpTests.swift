import AgentCore
import GuestProtocol
import NIOConcurrencyHelpers
import Testing

@Suite struct WakeUpTests {
    private static let now = 1_800_000_000 * 1_000_000_000 + 5

    @Test func theGuestTakesTheTimeAndTheSeed() async throws {
        try await LoopbackGuest.with { guest in
            let channel = try await guest.connect()
            #expect(channel.hello.features.contains(GuestFeature.wakeUp))
            try await channel.wakeUp(GuestWakeUp(unixNanoseconds: Self.now, entropy: [1, 2, 255]))
            #expect(guest.news.withLockedValue { $0.time } == Self.now)
            #expect(guest.news.withLockedValue { $0.seed } == [1, 2, 255])
            try await channel.wakeUp(GuestWakeUp(unixNanoseconds: Self.now + 1))
            #expect(guest.news.withLockedValue { $0.time } == Self.now + 1)
            #expect(guest.news.withLockedValue { $0.seed } == [1, 2, 255], "a pause leaves the random numbers alone")
            await channel.close()
        }
    }

    @Test(arguments: [
        GuestWakeUp(unixNanoseconds: 0), GuestWakeUp(unixNanoseconds: -1),
        GuestWakeUp(unixNanoseconds: now, entropy: [UInt8](repeating: 1, count: 513)),
    ])
    func whatMakesNoSenseIsRefusedAndChangesNothing(_ news: GuestWakeUp) async throws {
        try await LoopbackGuest.with { guest in
            let channel = try await guest.connect()
            let error = await #expect(throws: AgentError.self) { try await channel.wakeUp(news) }
            #expect(error?.kind == .invalidArgument)
            #expect(guest.news.withLockedValue { $0.time == 0 && $0.seed.isEmpty })
            await channel.close()
        }
    }
}

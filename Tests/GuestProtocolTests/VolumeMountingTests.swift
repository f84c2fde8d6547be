import AgentCore
import GuestProtocol
import NIOConcurrencyHelpers
import Testing

@Suite struct VolumeMountingTests {
    private static func volume(_ disk: String) -> GuestVolume {
        GuestVolume(name: "data", disk: disk, path: "/data", readOnly: true)
    }

    @Test func theGuestMountsAndUnmountsWhatItIsTold() async throws {
        try await LoopbackGuest.with { guest in
            let channel = try await guest.connect()
            #expect(channel.hello.features.contains(GuestFeature.volumes))
            try await channel.mount(Self.volume("vol-1"))
            #expect(guest.volumes.withLockedValue { $0 } == [Self.volume("vol-1")])
            try await channel.unmount(Self.volume("vol-1"))
            try await channel.unmount(Self.volume("vol-1"))
            #expect(guest.volumes.withLockedValue { $0 }.isEmpty)
            await channel.close()
        }
    }

    @Test func aReasonComesBackInTheGuestsWords() async throws {
        try await LoopbackGuest.with { guest in
            let channel = try await guest.connect()
            let missing = await #expect(throws: AgentError.self) { try await channel.mount(Self.volume("missing")) }
            #expect(missing?.kind == .invalidState && missing?.message.contains("did not appear") == true)
            let busy = await #expect(throws: AgentError.self) { try await channel.unmount(Self.volume("busy")) }
            #expect(busy?.kind == .invalidState && busy?.message.contains("process 7 (sh)") == true)
            await channel.close()
        }
    }

    @Test func aGuestThatIsStillStartingHasNoPlaceForThem() async throws {
        try await LoopbackGuest.with(acceptsCommands: false) { guest in
            let channel = try await guest.connect()
            let error = await #expect(throws: AgentError.self) { try await channel.mount(Self.volume("vol-1")) }
            #expect(error?.kind == .invalidState)
            #expect(guest.volumes.withLockedValue { $0 }.isEmpty)
            await channel.close()
        }
    }
}

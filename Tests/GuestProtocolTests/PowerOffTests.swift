import AgentCore
import GuestAgent
import GuestProtocol
import NIOConcurrencyHelpers
import Testing

@Suite struct PowerOffTests {
    @Test func aKillOfSystemdEndsTheGuestAndOtherSignalsDoNot() async throws {
        try await LoopbackGuest.with(program: ["/sbin/init"], mode: .systemd) { guest in
            // A process that nobody minds takes the part of PID 1.
            guest.agent.adoptProgram(pid: 0x3fff_ffff)
            let channel = try await guest.connect()
            await #expect(throws: AgentError.self) { try await channel.signalProgram(15) }
            #expect(guest.powerOffs.withLockedValue { $0 } == 0)
            try await channel.signalProgram(9)
            while guest.powerOffs.withLockedValue({ $0 }) == 0 { await Task.yield() }
            await channel.close()
        }
    }
}

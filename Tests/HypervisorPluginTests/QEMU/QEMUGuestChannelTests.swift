import AgentCore
import AgentTestSupport
import Testing

@testable import HypervisorPlugin

/// hypeman-init in a real machine.
@Suite(.serialized) struct QEMUGuestChannelTests {
    @Test(arguments: GuestChannelConformance.claims)
    func hypemanInitIsAGuest(_ claim: ConformanceClaim<GuestChannelConformance.Subject>) async throws {
        try await Scratch.with { scratch in
            let machine = try await MachineDescription.guest(in: scratch, program: ["cat"], openStandardInput: true)
            try await QEMUFixture.with(machine) { fixture in
                let live = try await fixture.driver.start(fixture.machine, session: GuestDisks.session)
                let console = Task { await live.console.reduce(into: [UInt8]()) { $0 += $1 } }
                do {
                    try await claim.check(GuestChannelConformance.Subject(machine: live))
                } catch {
                    await live.kill()
                    Issue.record("\(error); the console: \(String(decoding: await console.value, as: UTF8.self))")
                }
                await live.kill()
                _ = await console.value
            }
        }
    }
}

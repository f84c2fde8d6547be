import AgentCore
import AgentTestSupport
import Testing

@testable import HypervisorPlugin

/// hypeman-init in a real machine.
@Suite(.serialized) struct QEMUGuestChannelTests {
    @Test(arguments: GuestChannelConformance.claims)
    func hypemanInitIsAGuest(_ claim: ConformanceClaim<GuestChannelConformance.Subject>) async throws {
        let files = try GuestFiles.find()
        try await Scratch.with { scratch in
            let disks = try await GuestDisks(in: scratch, program: ["cat"], openStandardInput: true)
            let machine = MachineDescription(
                instance: .random(),
                size: MachineSize(vcpus: 1, memory: .mebibytes(256)),
                kernel: files.kernel,
                initrd: files.initrd,
                kernelArguments: [],
                disks: disks.disks,
                card: nil,
                runtimeDirectory: try scratch.directory("run")
            )
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

import AgentCore
import AgentTestSupport
import Foundation
import Testing

@testable import HypervisorPlugin

/// What a machine says of its accelerator is so.
@Suite(.serialized) struct QEMUAcceleratorTests {
    @Test func theMachineRunsUnderTheAcceleratorThatWasAskedFor() async throws {
        try await QEMUFixture.with(.waits) { fixture in
            let machine = try await fixture.start()
            let accelerator = machine.record.accelerator
            switch AcceleratorUnderTest.choice {
            case .kvm: #expect(accelerator == .kvm)
            case .tcg: #expect(accelerator == .tcg)
            case .auto: break
            }
            let directory = "/proc/\(machine.record.process.pid)/fd"
            let files = FileManager.default
            let open = try files.contentsOfDirectory(atPath: directory).compactMap {
                // Some are closed again meanwhile.
                try? files.destinationOfSymbolicLink(atPath: "\(directory)/\($0)")
            }
            #expect(open.contains("anon_inode:kvm-vm") == (accelerator == .kvm), "\(open)")
            await machine.kill()
            _ = try await observe(machine)
        }
    }
}

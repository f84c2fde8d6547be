import AgentCore
import AgentTestSupport
import Foundation
import SystemPackage
import Testing

@testable import HypervisorPlugin

/// What a real guest has of vCPUs and memory that are added while it runs.
@Suite(.serialized) struct QEMUResizeTests {
    private static let small = MachineSize(vcpus: 1, memory: .mebibytes(256))
    private static let large = MachineSize(vcpus: 3, memory: .mebibytes(768))

    @Test func theGuestUsesWhatItIsGivenAndKeepsItOverARestore() async throws {
        try await LiveGuest.with {
            $0.size = Self.small
            $0.largestSize = Self.large
        } _: { guest in
            #expect(try await guest.processors() == "0")
            let before = try await guest.memory()
            try await guest.machine.resize(to: Self.large)
            try await guest.settle("three processors") { try await guest.processors() == "0-2" }
            try await guest.settle("512 MiB more") { try await guest.memory() - before > 500 << 10 }
            #expect(try await guest.machine.counters().size == Self.large)

            try await guest.restart(resized: Self.large)
            #expect(try await guest.machine.counters().size == Self.large)
            #expect(try await guest.processors() == "0-2")
            #expect(try await guest.memory() - before > 500 << 10)

            try await guest.adopt()
            let middle = MachineSize(vcpus: 3, memory: .mebibytes(512))
            try await guest.machine.resize(to: middle)
            try await guest.settle("256 MiB less") { try await guest.memory() - before < 300 << 10 }
            #expect(try await guest.machine.counters().size == middle)

            try await guest.restart(resized: middle)
            #expect(try await guest.processors() == "0-2")
            #expect(try await guest.machine.counters().size == middle)
        }
    }

    /// The emulator does not outlive the next save of the memory.
    @Test func vCPUsGoUnderKVMAlone() async throws {
        let size = MachineSize(vcpus: 3, memory: Self.small.memory)
        try await LiveGuest.with {
            $0.size = Self.small
            $0.largestSize = size
        } _: { guest in
            try await guest.machine.resize(to: size)
            try await guest.settle("three processors") { try await guest.processors() == "0-2" }
            guard try guest.machine.record.accelerator == .kvm else {
                let error = await #expect(throws: AgentError.self) { try await guest.machine.resize(to: Self.small) }
                #expect(error?.kind == .invalidArgument && error?.message.contains("software emulation") == true)
                #expect(try await guest.machine.counters().size == size)
                return try await guest.restart(resized: size)
            }
            try await guest.machine.resize(to: Self.small)
            #expect(try await guest.processors() == "0")
            try await guest.restart(resized: Self.small)
            #expect(try await guest.machine.counters().size == Self.small)
        }
    }

    @Test func vCPUsOfTheStartStay() async throws {
        let start = MachineSize(vcpus: 2, memory: .mebibytes(256))
        try await LiveGuest.with {
            $0.size = start
            $0.largestSize = start
        } _: { guest in
            let one = MachineSize(vcpus: 1, memory: start.memory)
            let error = await #expect(throws: AgentError.self) { try await guest.machine.resize(to: one) }
            #expect(error?.kind == .invalidArgument)
            let processors = try await guest.processors()
            #expect(processors == "0-1")
        }
    }

    @Test func aProcessorThatTheGuestSwitchedOffStaysOff() async throws {
        try await LiveGuest.with {
            $0.size = MachineSize(vcpus: 2, memory: .mebibytes(256))
            $0.largestSize = MachineSize(vcpus: 3, memory: .mebibytes(256))
        } _: { guest in
            _ = try await guest.run(["sh", "-c", "echo 0 >/sys/devices/system/cpu/cpu1/online"])
            try await guest.machine.resize(to: MachineSize(vcpus: 3, memory: .mebibytes(256)))
            try await guest.settle("the third runs") { try await guest.processors() == "0,2" }
        }
    }
}

extension LiveGuest {
    /// The numbers of those that run, as the kernel writes them.
    fileprivate func processors() async throws -> String {
        try await run(["cat", "/sys/devices/system/cpu/online"])
    }

    /// What the guest has in KiB.
    fileprivate func memory() async throws -> Int {
        let line = try await run(["sh", "-c", "read -r _ total _ </proc/meminfo; echo $total"])
        return try #require(Int(line), "/proc/meminfo begins with \(line)")
    }
}

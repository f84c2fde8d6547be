import AgentCore
import AgentTestSupport
import Foundation
import GuestProtocol
import SystemPackage
import Testing

@testable import HypervisorPlugin

/// A real guest in QEMU, whose program waits, with its channel open.
final class LiveGuest {
    /// Set but while a life of the agent ends and the next one begins.
    private var held: (any VirtualMachine)?
    private(set) var description: MachineDescription
    private let scratch: Scratch
    private var channel: any GuestChannel
    private var others: [any VirtualMachine] = []

    var machine: any VirtualMachine {
        get throws { try #require(held) }
    }

    private init(_ machine: any VirtualMachine, _ description: MachineDescription, _ scratch: Scratch) async throws {
        held = machine
        self.description = description
        self.scratch = scratch
        channel = try await machine.openGuestChannel()
    }

    /// Boots one, and ends it and its others afterwards.
    static func with(
        _ change: (inout MachineDescription) -> Void = { _ in },
        _ body: (LiveGuest) async throws -> Void
    ) async throws {
        let files = try GuestFiles.find()
        try await Scratch.with { scratch in
            let disks = try await GuestDisks(in: scratch, program: ["sleep", "1000"])
            var machine = MachineDescription(
                instance: .random(),
                size: MachineSize(vcpus: 1, memory: .mebibytes(256)),
                kernel: files.kernel,
                initrd: files.initrd,
                kernelArguments: [],
                disks: disks.disks,
                card: nil,
                runtimeDirectory: try scratch.directory("run")
            )
            change(&machine)
            try await QEMUFixture.with(machine) { fixture in
                let guest = try await LiveGuest(try await fixture.start(), machine, scratch)
                do {
                    try await body(guest)
                } catch {
                    await guest.endOthers()
                    throw error
                }
                await guest.endOthers()
            }
        }
    }

    /// What a command writes.
    func run(_ command: [String]) async throws -> String {
        let process = try await channel.exec(ExecRequest(program: GuestProgram(arguments: command, environment: [])))
        var bytes: [UInt8] = []
        for try await event in process.events {
            if case .output(_, let part) = event { bytes += part }
        }
        return String(decoding: bytes, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// A disk of 1 MiB that says its name.
    func disk(_ serial: String, slot: Int?) throws -> MachineDescription.Disk {
        let bytes = Array("\(serial) is here\n".utf8) + [UInt8](repeating: 0, count: 1 << 20)
        let path = try scratch.write(Array(bytes.prefix(1 << 20)), to: "\(serial).raw")
        return MachineDescription.Disk(serial: serial, path: path, readOnly: false, slot: slot)
    }

    /// The first line of a disk, once the guest has found it.
    func firstBytes(of serial: String) async throws -> String {
        let script = """
            n=0
            while [ $n -lt 200 ]; do
                for d in /sys/block/*; do
                    read -r s < $d/serial && [ "$s" = "\(serial)" ] && read -r l < /dev/${d##*/} && echo "$l" && exit
                done 2>/dev/null
                sleep 0.05
                n=$((n + 1))
            done
            echo "no disk \(serial)"; cat /proc/partitions
            """
        return try await run(["sh", "-c", script])
    }

    private func endOthers() async {
        for other in others { await other.kill() }
    }

    /// Another machine that has the same disk, and no guest to speak of.
    func anotherMachine(with disk: MachineDescription.Disk) async throws -> any VirtualMachine {
        var machine = description
        machine.instance = .random()
        machine.disks = [disk]
        machine.runtimeDirectory = try scratch.directory("other-\(others.count)")
        let other = try await QEMUFixture.makeDriver().start(machine, session: QEMUFixture.session)
        others.append(other)
        return other
    }

    /// Saves it, ends it and takes it up with further disks.
    func restart(with disks: [MachineDescription.Disk] = [], resized: MachineSize? = nil) async throws {
        let directory = SnapshotDirectory(path: try scratch.directory("saved"))
        try await self.machine.pause()
        try await self.machine.snapshot(to: directory)
        try await end(self.machine)
        description.disks += disks
        description.resized = resized ?? description.resized
        let driver = QEMUFixture.makeDriver()
        let machine = try await driver.restore(description, from: directory, session: QEMUFixture.session)
        held = machine
        try await machine.resume()
        channel = try await machine.openGuestChannel()
    }

    /// Lets go of it and finds it again, as another life of the agent does.
    func adopt() async throws {
        let record = try machine.record
        await channel.close()
        held = nil
        let machine = try #require(try await QEMUFixture.makeDriver().adopt(record, instance: description.instance))
        held = machine
        channel = try await machine.openGuestChannel()
    }
}

/// Kills a machine, and returns once it is gone.
func end(_ machine: any VirtualMachine) async throws {
    await machine.kill()
    _ = try await observe(machine)
}

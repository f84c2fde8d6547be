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
        for try await event in channel.events(after: 0) {
            if case .started = event.kind { return }
        }
        throw ConformanceFailure("the program does not start")
    }

    /// Boots one, and ends it and its others afterwards.
    static func with(
        _ change: (inout MachineDescription) -> Void = { _ in },
        _ body: (LiveGuest) async throws -> Void
    ) async throws {
        try await with({ machine, _ in change(&machine) }, body)
    }

    /// The same with disks of the start's own, which are made by their serial and size.
    static func with(
        _ change: (inout MachineDescription, (String, Int) throws -> MachineDescription.Disk) throws -> Void,
        _ body: (LiveGuest) async throws -> Void
    ) async throws {
        try await Scratch.with { scratch in
            var machine = try await MachineDescription.guest(in: scratch, program: ["sleep", "1000"])
            try change(&machine) { try Self.disk($0, slot: nil, size: $1, in: scratch) }
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

    /// A disk that says its name.
    func disk(_ serial: String, slot: Int?, size: Int = 1 << 20) throws -> MachineDescription.Disk {
        try Self.disk(serial, slot: slot, size: size, in: scratch)
    }

    private static func disk(
        _ serial: String,
        slot: Int?,
        size: Int,
        in scratch: Scratch
    ) throws -> MachineDescription.Disk {
        let bytes = Array("\(serial) is here\n".utf8) + [UInt8](repeating: 0, count: size)
        let path = try scratch.write(Array(bytes.prefix(size)), to: "\(serial).raw")
        return MachineDescription.Disk(serial: serial, path: path, readOnly: false, slot: slot)
    }

    /// Waits until something is so in the guest.
    func settle(_ what: String, _ isSo: () async throws -> Bool) async throws {
        for _ in 0..<100 {
            if try await isSo() { return }
            try await Task.sleep(for: .milliseconds(50))
        }
        throw ConformanceFailure("\(what): not so")
    }

    /// The device of a disk, once the guest has found it.
    func path(of serial: String) async throws -> String {
        var found = ""
        try await settle("a disk \(serial)") {
            let script = """
                for d in /sys/block/*; do
                    s=; read -r s <$d/serial; [ "$s" = "\(serial)" ] && echo /dev/${d##*/}
                done 2>/dev/null
                """
            found = try await run(["sh", "-c", script])
            return !found.isEmpty
        }
        return found
    }

    /// The first line of a disk, once the guest has found it.
    func firstLine(of serial: String) async throws -> String {
        let path = try await path(of: serial)
        return try await run(["sh", "-c", "read -r line <\(path); echo $line"])
    }

    private func endOthers() async {
        for other in others { await other.kill() }
    }

    /// Another machine that has the same disk, and no guest to speak of.
    func anotherMachine(with disk: MachineDescription.Disk) async throws -> any VirtualMachine {
        try await anotherMachine(with: [disk], card: nil)
    }

    func anotherMachine(
        with disks: [MachineDescription.Disk],
        card: MachineDescription.Card?
    ) async throws -> any VirtualMachine {
        var machine = description
        machine.instance = .random()
        machine.disks = disks
        machine.card = card
        machine.runtimeDirectory = try scratch.directory("other-\(UUID().uuidString.prefix(4))")
        let other = try await QEMUFixture.makeDriver().start(machine, session: QEMUFixture.session)
        others.append(other)
        return other
    }

    /// Saves it, ends it and takes it up with further disks.
    func restart(with disks: [MachineDescription.Disk] = [], resized: MachineSize? = nil) async throws {
        let directory = SnapshotDirectory(path: try scratch.directory("saved-\(UUID().uuidString.prefix(4))"))
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

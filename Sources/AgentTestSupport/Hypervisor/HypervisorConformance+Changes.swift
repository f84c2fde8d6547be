import AgentCore
import Foundation
import SystemPackage

extension HypervisorConformance {
    /// What every hypervisor that can change a machine while it runs must do.
    public static let changeClaims: [ConformanceClaim<Subject>] = [
        ConformanceClaim("a machine is resized within its bounds and no further") { subject in
            guard try await subject.driver.information().capabilities.resize else { return }
            var roomy = subject.machine
            let room = 256 << 20
            let largest = MachineSize(
                vcpus: roomy.size.vcpus + 1,
                memory: ByteSize(bytes: roomy.size.memory.bytes + room)
            )
            roomy.largestSize = largest
            let machine = try await subject.driver.start(roomy, session: session)
            try await machine.resize(to: largest)
            try await machine.resize(to: largest)
            // A vCPU goes only where the hypervisor can take one out, and the guest lets go of it.
            try await machine.resize(to: MachineSize(vcpus: largest.vcpus, memory: roomy.size.memory))
            for size in [
                MachineSize(vcpus: 0, memory: roomy.size.memory),
                MachineSize(vcpus: largest.vcpus + 1, memory: roomy.size.memory),
                MachineSize(vcpus: 1, memory: ByteSize(bytes: largest.memory.bytes + room)),
                MachineSize(vcpus: 1, memory: .mebibytes(16)),
            ] {
                try await requireError(.invalidArgument, "a resize to \(size)") { try await machine.resize(to: size) }
            }
            await machine.kill()
            _ = try await remainingEvents(of: machine)
            try await requireInvalidState("a resize after the exit") { try await machine.resize(to: largest) }
        },
        ConformanceClaim("a machine that is saved with another size is taken up with it") { subject in
            let capabilities = try await subject.driver.information().capabilities
            guard capabilities.resize, capabilities.snapshot else { return }
            var roomy = subject.machine
            let largest = MachineSize(
                vcpus: roomy.size.vcpus + 1,
                memory: ByteSize(bytes: roomy.size.memory.bytes + (128 << 20))
            )
            roomy.largestSize = largest
            let machine = try await subject.driver.start(roomy, session: session)
            try await machine.resize(to: largest)
            try await machine.pause()
            let directory = try subject.directory("resized")
            try await machine.snapshot(to: directory)
            await machine.kill()
            _ = try await remainingEvents(of: machine)
            roomy.resized = largest
            let restored = try await subject.driver.restore(roomy, from: directory, session: session)
            if let size = try await restored.counters().size {
                try require(size == largest, "it is taken up with \(size)")
            }
            try await restored.resume()
            try await restored.resize(to: MachineSize(vcpus: largest.vcpus, memory: roomy.size.memory))
            await restored.kill()
            _ = try await remainingEvents(of: restored)
        },
        ConformanceClaim("disks are plugged in and taken out, again and in any order") { subject in
            guard try await subject.driver.information().capabilities.hotplug else { return }
            let disks = try (0..<2).map { try subject.disk("added-\($0)", slot: $0) }
            let machine = try await subject.start()
            for _ in 0..<2 {
                for disk in disks { try await machine.attach(disk) }
                try await requireError(.alreadyExists, "the same disk again") { try await machine.attach(disks[0]) }
                for disk in disks {
                    for _ in 0..<2 { try await subject.detach(disk, from: machine) }
                }
            }
            await machine.kill()
            _ = try await remainingEvents(of: machine)
            try await requireInvalidState("a disk after the exit") { try await machine.attach(disks[0]) }
        },
        ConformanceClaim("a slot that is taken and one that is not there are refused") { subject in
            guard try await subject.driver.information().capabilities.hotplug else { return }
            let machine = try await subject.start()
            try await machine.attach(try subject.disk("one", slot: 0))
            try await requireError(.alreadyExists, "a taken slot") {
                try await machine.attach(try subject.disk("two", slot: 0))
            }
            try await requireError(.invalidArgument, "a slot beyond the last") {
                try await machine.attach(try subject.disk("two", slot: MachineDescription.slots))
            }
            await machine.kill()
            _ = try await remainingEvents(of: machine)
        },
        ConformanceClaim("a machine that is saved with a disk plugged in is taken up with it") { subject in
            let capabilities = try await subject.driver.information().capabilities
            guard capabilities.hotplug, capabilities.snapshot else { return }
            let disk = try subject.disk("added", slot: 1)
            let machine = try await subject.start()
            try await machine.attach(disk)
            try await machine.pause()
            let directory = try subject.directory("with-disk")
            try await machine.snapshot(to: directory)
            await machine.kill()
            _ = try await remainingEvents(of: machine)
            var saved = subject.machine
            saved.disks.append(disk)
            let restored = try await subject.driver.restore(saved, from: directory, session: session)
            try await restored.resume()
            try await requireError(.alreadyExists, "the disk that it has") { try await restored.attach(disk) }
            try await subject.detach(disk, from: restored)
            try await restored.attach(disk)
            await restored.kill()
            _ = try await remainingEvents(of: restored)
        },
    ]

    static func requireError(
        _ kind: AgentError.Kind,
        _ what: String,
        _ body: () async throws -> Void
    ) async throws {
        do {
            try await body()
        } catch let error as AgentError where error.kind == kind {
            return
        }
        throw ConformanceFailure("\(what) did not throw \(kind)")
    }
}

extension HypervisorConformance.Subject {
    /// A guest that is booting does not let go of a disk yet; a real one is asked until it does.
    fileprivate func detach(_ disk: MachineDescription.Disk, from machine: any VirtualMachine) async throws {
        for _ in 0..<10 {
            do {
                return try await machine.detach(disk)
            } catch let error as AgentError where error.kind == .timeout {
                continue
            }
        }
        throw ConformanceFailure("the disk \(disk.serial) is not let go of")
    }

    /// A disk of 1 MiB beside the snapshots.
    fileprivate func disk(_ name: String, slot: Int) throws -> MachineDescription.Disk {
        try FileManager.default.createDirectory(atPath: snapshots.string, withIntermediateDirectories: true)
        let path = snapshots.appending("\(name).raw")
        try Data(count: 1 << 20).write(to: URL(filePath: path.string))
        return MachineDescription.Disk(serial: name, path: path, readOnly: false, slot: slot)
    }
}

import AgentCore
import Foundation
import SystemPackage

extension HypervisorConformance {
    /// What every hypervisor that can save machines must do.
    static let snapshotClaims: [ConformanceClaim<Subject>] = [
        ConformanceClaim("a machine that runs is not saved, and goes on") { subject in
            let machine = try await subject.start()
            let directory = try subject.directory("runs")
            try await requireInvalidState("a snapshot of what runs") { try await machine.snapshot(to: directory) }
            try await machine.pause()
            try await machine.resume()
            await machine.kill()
            let events = try await remainingEvents(of: machine)
            try require(events == [.paused, .resumed, .exited(.signal(9))], "the events are \(events)")
            try await requireInvalidState("a snapshot after the exit") { try await machine.snapshot(to: directory) }
        },
        ConformanceClaim("a machine that was saved stands still, goes on, and can be saved again") { subject in
            let machine = try await subject.start()
            for name in ["first", "second"] {
                try await machine.pause()
                try await machine.snapshot(to: try subject.directory(name))
                try await machine.pause()
                try await machine.resume()
            }
            await machine.kill()
            let events = try await remainingEvents(of: machine)
            let pauses: [MachineEvent] = [.paused, .resumed, .paused, .resumed]
            try require(events == pauses + [.exited(.signal(9))], "the events are \(events)")
        },
        ConformanceClaim("a saved machine is taken up as often as it is wanted, and stands still until resumed") {
            subject in
            let directory = try await save(subject)
            for _ in 0..<2 {
                let machine = try await subject.restore(from: directory)
                try require(machine.record.session == session, "the record has another session")
                _ = try await machine.counters()
                try await machine.resume()
                try await machine.pause()
                try await machine.resume()
                await machine.kill()
                let events = try await remainingEvents(of: machine)
                try require(events == [.paused, .resumed, .exited(.signal(9))], "the events are \(events)")
            }
        },
        ConformanceClaim("a machine that was taken up and has not run is as good as the snapshot") { subject in
            let directory = try await save(subject)
            let first = try await subject.restore(from: directory)
            await first.kill()
            let events = try await remainingEvents(of: first)
            try require(events == [.exited(.signal(9))], "the events are \(events)")
            let record = try await subject.restore(from: directory).record
            let next = subject.restart()
            let machine = try require(
                try await next.adopt(record, instance: subject.machine.instance),
                "it is not found again"
            )
            try await machine.resume()
            await machine.kill()
            _ = try await remainingEvents(of: machine)
        },
        ConformanceClaim("a snapshot that is missing, cut short or garbled is refused, and nothing is left") {
            subject in
            let directory = try await save(subject)
            let whole = try contents(of: directory)
            try require(!whole.isEmpty, "nothing was written")
            for (name, change) in damages {
                let damaged = try subject.directory(name)
                for (file, bytes) in whole {
                    guard let bytes = change(bytes) else { continue }
                    try bytes.write(to: URL(filePath: damaged.path.appending(file).string))
                }
                do {
                    let machine = try await subject.restore(from: damaged)
                    await machine.kill()
                    throw ConformanceFailure("\(name) was taken up")
                } catch let error as AgentError {
                    try require(error.code == "snapshot_unreadable", "\(name): \(error.code), \(error)")
                }
            }
            let machine = try await subject.restore(from: directory)
            await machine.kill()
            _ = try await remainingEvents(of: machine)
        },
        ConformanceClaim("a restore that is cancelled leaves nothing or a whole machine") { subject in
            let directory = try await save(subject)
            let restore = Task { try await subject.restore(from: directory) }
            restore.cancel()
            if let machine = try? await restore.value {
                await machine.kill()
                _ = try await remainingEvents(of: machine)
            }
            let machine = try await subject.restore(from: directory)
            await machine.kill()
            _ = try await remainingEvents(of: machine)
        },
    ]

    private static let damages: [(String, @Sendable (Data) -> Data?)] = [
        ("missing", { _ in nil }),
        ("empty", { _ in Data() }),
        ("short", { $0.prefix($0.count / 2) }),
        ("garbled", { Data($0.map { ~$0 }) }),
    ]

    /// A machine that was saved and ended.
    private static func save(_ subject: Subject) async throws -> SnapshotDirectory {
        let directory = try subject.directory("saved")
        let machine = try await subject.start()
        try await machine.pause()
        try await machine.snapshot(to: directory)
        await machine.kill()
        _ = try await remainingEvents(of: machine)
        return directory
    }

    private static func contents(of directory: SnapshotDirectory) throws -> [(String, Data)] {
        try FileManager.default.contentsOfDirectory(atPath: directory.path.string).map { name in
            (name, try Data(contentsOf: URL(filePath: directory.path.appending(name).string)))
        }
    }
}

extension HypervisorConformance.Subject {
    func directory(_ name: String) throws -> SnapshotDirectory {
        let path = snapshots.appending(name)
        try FileManager.default.createDirectory(atPath: path.string, withIntermediateDirectories: true)
        return SnapshotDirectory(path: path)
    }

    fileprivate func restore(from directory: SnapshotDirectory) async throws -> any VirtualMachine {
        try await driver.restore(machine, from: directory, session: HypervisorConformance.session)
    }
}

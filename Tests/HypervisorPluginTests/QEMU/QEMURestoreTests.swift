import AgentCore
import AgentTestSupport
import Foundation
import GuestProtocol
import SystemPackage
import Testing

@testable import HypervisorPlugin

/// A real guest, whose memory goes to disk and comes back.
@Suite(.serialized) struct QEMURestoreTests {
    private static let counter = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done"

    @Test func aCounterGoesOnTheClockIsRightAndRandomNumbersDiffer() async throws {
        try await Scratch.with { scratch in
            var machine = try await MachineDescription.guest(
                in: scratch,
                program: ["/bin/sh", "-c", Self.counter]
            )
            machine.size.vcpus = 2
            let directory = SnapshotDirectory(path: try scratch.directory("snapshot"))
            try await QEMUFixture.with(machine) { fixture in
                let first = try await fixture.start()
                let channel = try await first.openGuestChannel()
                let (seen, position) = try await Self.count(channel, from: 0, until: 5)
                #expect(seen.first == 1)
                try await first.pause()
                try await first.snapshot(to: directory)
                await first.kill()
                for await _ in first.events {}
                try await Task.sleep(for: .seconds(3))

                let overlay = try #require(fixture.machine.disks.first { $0.serial == "overlay" }).path.string
                try FileManager.default.copyItem(atPath: overlay, toPath: overlay + ".saved")
                var drawn: Set<String> = []
                for _ in 0..<2 {
                    try FileManager.default.removeItem(atPath: overlay)
                    try FileManager.default.copyItem(atPath: overlay + ".saved", toPath: overlay)
                    let (next, random) = try await Self.takeUp(fixture, directory, position)
                    #expect(next.first == seen.count + 1, "the counter goes on where it was: \(next)")
                    drawn.insert(random)
                }
                #expect(drawn.count == 2, "two copies draw different random numbers")
            }
        }
    }

    /// Restores the guest, wakes it up, and ends it.
    private static func takeUp(
        _ fixture: QEMUFixture,
        _ directory: SnapshotDirectory,
        _ position: UInt64
    ) async throws -> (numbers: [Int], random: String) {
        let machine = try await fixture.driver.restore(fixture.machine, from: directory, session: QEMUFixture.session)
        try await machine.resume()
        let channel = try await machine.openGuestChannel()
        var generator = SystemRandomNumberGenerator()
        let entropy = (0..<64).map { _ in UInt8.random(in: 0...255, using: &generator) }
        let now = Int(Date().timeIntervalSince1970 * 1e9)
        try await channel.wakeUp(GuestWakeUp(unixNanoseconds: now, entropy: entropy))
        let time = try #require(Double(try await run(channel, ["date", "+%s.%N"])))
        #expect(abs(time - Date().timeIntervalSince1970) < Double(Patience.factor), "the guest's clock is right")
        let random = try await run(channel, ["od", "-An", "-tx1", "-N16", "/dev/urandom"])
        let (numbers, _) = try await count(channel, from: position, until: 3)
        await machine.kill()
        for await _ in machine.events {}
        return (numbers, random)
    }

    /// Reads the numbers that the program writes from a position on, at least so many.
    private static func count(
        _ channel: any GuestChannel,
        from position: UInt64,
        until least: Int
    ) async throws -> ([Int], UInt64) {
        try await withDeadline(Patience.of(.seconds(120)), "the program did not count") {
            var (text, end) = ("", position)
            for try await output in channel.output(from: position) {
                text += String(decoding: output.bytes, as: UTF8.self)
                end = output.offset + UInt64(output.bytes.count)
                let lines = text.split(separator: "\n")
                if text.hasSuffix("\n"), lines.count >= least { return (lines.compactMap { Int($0) }, end) }
            }
            throw ConformanceFailure("the output ended after '\(text)'")
        }
    }

    private static func run(_ channel: any GuestChannel, _ command: [String]) async throws -> String {
        let process = try await channel.exec(ExecRequest(program: GuestProgram(arguments: command, environment: [])))
        var bytes: [UInt8] = []
        for try await event in process.events {
            if case .output(_, let part) = event { bytes += part }
        }
        return String(decoding: bytes, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    }
}

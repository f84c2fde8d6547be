import AgentTestSupport
import Foundation
import Glibc
import Logging
import SystemPackage
import Testing

@testable import hypeman_agent

struct ServiceNotifierTests {
    private static let logger = Logger(label: "test")

    /// Seconds since the host's boot, which for one that was never suspended is CLOCK_MONOTONIC.
    private static func uptime() throws -> Double {
        let text = try String(contentsOfFile: "/proc/uptime", encoding: .utf8)
        return try #require(text.split(separator: " ").first.flatMap { Double($0) })
    }

    @Test(arguments: [true, false])
    func whatIsSaidArrivesInOrder(isAbstract: Bool) async throws {
        try await Scratch.with { scratch in
            let path = isAbstract ? "@hypeman-\(UUID())" : scratch.appending("notify").string
            let receiver = try DatagramReceiver(at: path)
            let notifier = ServiceNotifier(path: path, logger: Self.logger)
            notifier.notify(.ready(status: "two\nlines"))
            notifier.notify(.watchdog)
            notifier.notify(.status("well"))
            notifier.notify(.stopping)
            await notifier.flush()
            #expect(try receiver.receiveText() == "READY=1\nMAINPID=\(getpid())\nSTATUS=two lines")
            #expect(try receiver.receiveText() == "WATCHDOG=1")
            #expect(try receiver.receiveText() == "STATUS=well")
            #expect(try receiver.receiveText() == "STOPPING=1\nSTATUS=Ending; VMs run on")
        }
    }

    @Test func aReloadSaysWhenItBegan() async throws {
        let path = "@hypeman-\(UUID())"
        let receiver = try DatagramReceiver(at: path)
        let notifier = ServiceNotifier(path: path, logger: Self.logger)
        let before = try Self.uptime()
        notifier.notify(.reloading)
        let lines = try receiver.receiveText().split(separator: "\n")
        #expect(lines.first == "RELOADING=1")
        let time = try #require(lines.last?.split(separator: "=").last.flatMap { UInt64($0) })
        // The file has hundredths.
        #expect((before - 0.02...(try Self.uptime() + 0.02)).contains(Double(time) / 1_000_000))
    }

    @Test func nobodyIsToldWhereNobodyAsked() async {
        let notifier = ServiceNotifier(path: nil, logger: Self.logger)
        notifier.notify(.watchdog)
        await notifier.flush()
    }

    @Test func theEnvironmentIsReadAsSystemdWritesIt() {
        let own = ServiceEnvironment(
            [
                "NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7", "LISTEN_PID": "7",
                "LISTEN_FDS": "2",
            ],
            process: 7
        )
        #expect(own.notifySocket == "@x")
        #expect(own.watchdogInterval == .seconds(30))
        #expect(own.sockets == [3, 4])
        let other = ServiceEnvironment(
            ["WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8", "LISTEN_PID": "8", "LISTEN_FDS": "2"],
            process: 7
        )
        #expect(other == ServiceEnvironment([:], process: 7))
        let odd = ServiceEnvironment(
            ["NOTIFY_SOCKET": "relative", "WATCHDOG_USEC": "-1", "LISTEN_PID": "7", "LISTEN_FDS": "100000"],
            process: 7
        )
        #expect(odd == ServiceEnvironment([:], process: 7))
    }
}

import AgentTestSupport
import Foundation
import SystemPackage
import Testing

/// How real VMs end that are asked to.
@Suite(.serialized) struct StopTests {
    private static func stop(_ agent: PrivateAgent, _ name: String, time: Int) async throws -> Duration {
        let began = ContinuousClock.now
        try await agent.expect("stop", "--time", "\(time)", name)
        return ContinuousClock.now - began
    }

    @Test func whoObeysEndsAtOnceAndWhoDoesNotAtTheDeadline() async throws {
        try await PrivateAgent.withBusybox { agent async throws in
            let programs = ["polite": "trap 'exit 7' TERM", "deaf": "trap '' TERM"]
            for (name, trap) in programs {
                let program = "\(trap); echo ready; while :; do sleep 0.1; done"
                try await agent.expect(
                    "run",
                    "-d",
                    "--name",
                    name,
                    "--memory",
                    "128MB",
                    "busybox:1",
                    "sh",
                    "-c",
                    program
                )
                while try await agent.expect("logs", name) != "ready" { try await Task.sleep(for: .milliseconds(100)) }
            }
            let polite = try await Self.stop(agent, "polite", time: 60)
            #expect(polite < .seconds(20))
            let obeyed = try await agent.expect("inspect", "polite")
            #expect(obeyed.contains(#""exit_reason" : "stopped""#) && obeyed.contains(#""exit_code" : 7"#), "\(obeyed)")

            let deaf = try await Self.stop(agent, "deaf", time: 2)
            #expect(deaf >= .seconds(2) && deaf < .seconds(12), "\(deaf)")
            let killed = try await agent.expect("inspect", "deaf")
            #expect(killed.contains(#""exit_reason" : "killed""#), "\(killed)")
            #expect(killed.contains("did not end within 2.0 seconds of its stop signal and was killed"), "\(killed)")
        }
    }

    /// Never lets systemd come to its end.
    private static let unit = """
        [Unit]
        Description=Does not want to stop

        [Service]
        ExecStart=/bin/sh -c 'trap "" TERM; while :; do sleep 1; done'
        TimeoutStopSec=infinity

        [Install]
        WantedBy=multi-user.target

        """

    @Test func aSystemdThatHangsWhileItStopsEndsAtTheDeadline() async throws {
        try await PrivateAgent.with { agent async throws in
            let unit = try agent.scratch.write(Array(Self.unit.utf8), to: "deaf.service")
            let image = agent.scratch.appending("systemd.tar")
            try await TestImages.debian(
                ["systemd-sysv"],
                hooks: [
                    "upload \(unit) /etc/systemd/system/deaf.service", #"chroot "$1" systemctl enable deaf.service"#,
                ],
                image: image
            )
            try await agent.expect("import", image.string, "debian-systemd:1")
            try await agent.expect(
                "run",
                "-d",
                "--name",
                "host",
                "--memory",
                "256MB",
                "debian-systemd:1",
                "/sbin/init"
            )
            let started = ["exec", "--wait-for-agent", "2m", "host", "systemctl", "is-system-running", "--wait"]
            #expect(try await agent.expect(started) == "running")
            try await agent.expect("exec", "host", "sh", "-c", "echo kept >/var/kept")
            let took = try await Self.stop(agent, "host", time: 5)
            #expect(took >= .seconds(5) && took < .seconds(14), "\(took)")
            let killed = try await agent.expect("inspect", "host")
            #expect(killed.contains(#""exit_reason" : "killed""#), "\(killed)")
            #expect(killed.contains("did not end within 5.0 seconds"), "\(killed)")
            // Its disks were written back all the same.
            try await agent.expect("start", "host")
            let kept = ["exec", "--wait-for-agent", "2m", "host", "cat", "/var/kept"]
            #expect(try await agent.expect(kept) == "kept")
        }
    }
}

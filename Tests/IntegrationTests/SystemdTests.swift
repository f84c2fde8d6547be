import AgentTestSupport
import Foundation
import SystemPackage
import Testing

/// An image whose program is systemd: Debian's own, made from its packages.
@Suite(.serialized) struct SystemdTests {
    /// Leaves a file when the guest has booted, and another when it is shut down in order.
    private static let unit = """
        [Unit]
        Description=Witness of a start and a stop

        [Service]
        Type=oneshot
        RemainAfterExit=yes
        ExecStart=/bin/sh -c 'echo started >/var/lib/witness-start'
        ExecStop=/bin/sh -c 'echo stopped >/var/lib/witness-stop'

        [Install]
        WantedBy=multi-user.target

        """

    @Test func systemdIsPID1RunsItsUnitsAndPowersOffWhenStopped() async throws {
        try await PrivateAgent.with { agent async throws in
            let scratch = agent.scratch
            let unit = try scratch.write(Array(Self.unit.utf8), to: "witness.service")
            let image = scratch.appending("systemd.tar")
            try await TestImages.debian(
                ["systemd-sysv", "dbus"],
                hooks: [
                    "upload \(unit) /etc/systemd/system/witness.service",
                    #"chroot "$1" systemctl enable witness.service"#,
                ],
                image: image
            )
            try await agent.expect("import", image.string, "debian-systemd:1")
            let id = try await agent.expect(
                "run",
                "-d",
                "--name",
                "host",
                "--memory",
                "256MB",
                "debian-systemd:1",
                "/sbin/init"
            )

            func inside(_ command: String...) async throws -> String {
                try await agent.expect(["exec", "--wait-for-agent", "2m", "host"] + command)
            }
            #expect(try await inside("cat", "/proc/1/comm") == "systemd")
            #expect(try await inside("systemctl", "is-system-running", "--wait") == "running")
            #expect(try await inside("cat", "/var/lib/witness-start") == "started")
            #expect(try await inside("systemctl", "is-active", "hypeman-agent", "dbus.socket") == "active\nactive")
            try await agent.expect("exec", "host", "sh", "-c", "exit 42", code: 42)

            // An agent that comes back finds the guest, whose side of the channel is a service of systemd now.
            await agent.stop(SIGKILL)
            try await agent.start()
            #expect(try await inside("cat", "/var/lib/witness-start") == "started")

            try await agent.expect("stop", "--time", "60", "host")
            let inspected = try await agent.expect("inspect", "host")
            #expect(inspected.contains(#""state" : "Stopped""#), "\(inspected)")
            #expect(inspected.contains(#""exit_code" : 0"#), "\(inspected)")
            #expect(inspected.contains(#""exit_reason" : "stopped""#), "\(inspected)")
            #expect(inspected.contains("the guest has shut down"), "\(inspected)")

            // What the unit wrote while the guest shut down is on the disk; the journal is for the next mount to replay.
            let overlay = agent.data.appending("instances").appending(id).appending("overlay.ext4").string
            try await tool("e2fsck", ["-fy", overlay], accepting: [0, 1])
            let witness = try await tool("debugfs", ["-R", "cat /upper/var/lib/witness-stop", overlay])
            #expect(witness == "stopped\n")
        }
    }
}

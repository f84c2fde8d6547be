import AgentCore
import Testing

@Suite struct VolumeMountTests {
    @Test(
        arguments: [
            ("/var/lib/postgresql", "/var/lib/postgresql"), ("/data/", "/data"), ("//a/./b", "/a/b"),
            ("/etc/app", "/etc/app"), ("/run/app", "/run/app"), ("/processes", "/processes"), ("/home/ü", "/home/ü"),
            ("/usr", "/usr"),
        ]
    )
    func pathsAreNormalised(_ text: String, _ path: String) throws {
        #expect(try MountPath(text).rawValue == path)
    }

    @Test(arguments: [
        "", "data", "/", "//", "/.", "/a/../b", "/proc", "/proc/sys", "/sys", "/dev/shm", "/run", "/run/systemd/x",
        "/etc",
        "/run/hypeman", "/a\nb", "/a\0", "/" + String(repeating: "a", count: 256),
        String(repeating: "/aaaaaaa", count: 200),
    ])
    func whatTheGuestNeedsIsNoPlace(_ text: String) {
        let error = #expect(throws: AgentError.self) { try MountPath(text) }
        #expect(error?.code == "invalid_mount_path")
    }

    @Test func serialsFitAndTellVolumesApart() throws {
        let serials = try (0..<100).map { _ in
            VolumeMount(volume: .random(), path: try MountPath("/data"), readOnly: true, overlaySize: .gibibytes(1))
        }.flatMap { [$0.serial, $0.overlaySerial ?? ""] }
        #expect(Set(serials).count == 200)
        #expect(serials.allSatisfy { $0.utf8.count == 20 })
    }
}

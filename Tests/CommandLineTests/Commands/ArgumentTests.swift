import AgentAPI
import ArgumentParser
import Foundation
import Testing

@testable import hypeman

/// What a docker user's fingers type.
@Suite struct ArgumentTests {
    private func run(_ arguments: String...) throws -> CreateInstanceBody {
        let command = try #require(try Hypeman.parseAsRoot(["run"] + arguments) as? RunCommand)
        return try command.body(environment: ["HERE": "yes"])
    }

    private func exec(_ arguments: String...) throws -> ExecBody {
        let command = try #require(try Hypeman.parseAsRoot(["exec"] + arguments) as? ExecCommand)
        return try command.body(environment: ["HERE": "yes"])
    }

    @Test(arguments: [
        ["--username", "me"], ["--password-stdin"], ["--username", "", "--password-stdin"],
        ["--username", "a:b", "--password-stdin"],
    ])
    func halfALoginIsNoLogin(_ arguments: [String]) {
        #expect(throws: (any Error).self) { try Hypeman.parseAsRoot(["pull"] + arguments + ["alpine"]) }
    }

    @Test(
        arguments: [
            ("never", "never", nil), ("no", "never", nil), ("always", "always", nil), ("unless-stopped", "always", nil),
            ("on-failure", "on_failure", nil), ("on-failure:3", "on_failure", 3),
        ] as [(String, String, Int?)]
    )
    func restartPoliciesAreWrittenAsDockerDoes(_ text: String, _ policy: String, _ attempts: Int?) throws {
        let body = try run("-d", "--restart", text, "alpine")
        #expect(body.restartPolicy == RestartPolicyBody(policy: policy, maximumAttempts: attempts))
    }

    @Test(arguments: [
        ["run", "-d", "--restart", "sometimes", "alpine"], ["run", "-d", "--restart", "on-failure:0", "alpine"],
        ["run", "-d", "--restart", "on-failure:", "alpine"], ["run", "-d", "--restart", "always:3", "alpine"],
        ["run", "--restart", "always", "alpine"], ["update", "web"], ["update", "--restart", "always"], ["pause"],
        ["standby"], ["snapshot", "create"], ["snapshot", "restore", "web"], ["snapshot", "delete"],
        ["wait", "--for", "Frozen", "web"], ["events", "--after", "-1"],
    ])
    func whatMakesNoSenseIsRefused(_ arguments: [String]) {
        #expect(throws: (any Error).self) { try Hypeman.parseAsRoot(arguments) }
    }

    @Test func roomAndDiskRateReachTheRequest() throws {
        let body = try run("--max-cpus", "4", "--hotplug-size", "3GB", "--disk-io", "100MB/s", "alpine")
        #expect(body.maximumVCPUs == 4 && body.hotplugSize == "3GB" && body.diskRate == "100MB/s")
        #expect(try run("alpine").hotplugSize == nil)
        #expect(throws: Never.self) { try Hypeman.parseAsRoot(["update", "--cpus", "2", "--memory", "2GB", "web"]) }
    }

    @Test(
        arguments: [
            ("data:/data", VolumeMountBody(volumeID: "id", mountPath: "/data")),
            ("data:/data:rw", VolumeMountBody(volumeID: "id", mountPath: "/data")),
            ("data:/data:ro", VolumeMountBody(volumeID: "id", mountPath: "/data", readonly: true)),
            (
                "data:/data:overlay",
                VolumeMountBody(volumeID: "id", mountPath: "/data", readonly: true, overlay: true, overlaySize: "10GB")
            ),
            (
                "data:/data:overlay=2GB",
                VolumeMountBody(volumeID: "id", mountPath: "/data", readonly: true, overlay: true, overlaySize: "2GB")
            ),
        ]
    )
    func volumesAreWrittenAsDockerDoes(_ text: String, _ body: VolumeMountBody) throws {
        let command = try #require(try Hypeman.parseAsRoot(["run", "-v", text, "alpine"]) as? RunCommand)
        let wanted = try command.volumes.wanted()
        #expect(wanted.options.map { $0.body(volumeID: "id") } == [body] && wanted.options[0].volume == "data")
        #expect(wanted.size == VolumeSize(gigabytes: 10))
    }

    @Test(arguments: [
        ["run", "-v", "/data", "alpine"], ["run", "-v", "/host:/data", "alpine"], ["run", "-v", "./x:/data", "alpine"],
        ["run", "-v", "data:relative", "alpine"], ["run", "-v", "data:/data:z", "alpine"],
        ["run", "-v", ":/data", "alpine"],
        ["run", "-v", "a:/b:overlay=", "alpine"], ["volume", "create", "--size", "10MB", "x"],
        ["volume", "create", "--size", "0", "x"], ["volume", "grow", "x"],
        ["volume", "attach", "web", "data:/d:overlay"],
        ["volume", "rm"],
    ])
    func volumesThatMakeNoSenseAreRefused(_ arguments: [String]) {
        #expect(throws: (any Error).self) { try Hypeman.parseAsRoot(arguments) }
    }

    @Test func anArchiveGoesWhereItsVolumeIsDescribed() throws {
        let body = CreateVolumeBody(name: "a b", size: 3, id: "x", tags: ["k": "v&w"])
        #expect(
            VolumeCreateCommand.archivePath(body)
                == "/volumes/from-archive?name=a%20b&size_gb=3&id=x&tags%5Bk%5D=v%26w"
        )
        #expect(VolumeSize(argument: "2TB") == VolumeSize(gigabytes: 2048))
        #expect(VolumeSize(argument: "7GiB") == VolumeSize(gigabytes: 7))
    }

    @Test func optionsAfterTheImageBelongToTheProgram() throws {
        let body = try run("--name", "web", "alpine", "ls", "-l", "--name", "x")
        #expect(body.name == "web")
        #expect(body.image == "alpine")
        #expect(body.cmd == ["ls", "-l", "--name", "x"])
        #expect(body.entrypoint == nil)
    }

    @Test func everyOptionReachesTheRequest() throws {
        let body = try run(
            "-e",
            "A=1=2",
            "-e",
            "HERE",
            "-e",
            "GONE",
            "--cpus",
            "3",
            "-m",
            "512MB",
            "-u",
            "app:app",
            "-w",
            "/srv",
            "-l",
            "k=v",
            "--overlay-size",
            "2GB",
            "--hypervisor",
            "qemu",
            "alpine"
        )
        #expect(body.env == ["A": "1=2", "HERE": "yes"])
        #expect(body.vcpus == 3)
        #expect(body.size == "512MB")
        #expect(body.user == "app:app")
        #expect(body.workingDirectory == "/srv")
        #expect(body.tags == ["k": "v"])
        #expect(body.overlaySize == "2GB")
        #expect(body.hypervisor == "qemu")
        #expect(body.cmd == nil)
    }

    @Test func newEntrypointDropsTheImagesCommand() throws {
        #expect(try run("--entrypoint", "/bin/sh", "alpine").cmd == [])
        #expect(try run("--entrypoint", "/bin/sh", "alpine", "-c", "true").cmd == ["-c", "true"])
    }

    @Test func unknownOptionIsNotTakenForAnImage() {
        #expect(throws: (any Error).self) { try Hypeman.parseAsRoot(["run", "--colour", "red", "alpine"]) }
        #expect(throws: (any Error).self) { try Hypeman.parseAsRoot(["run"]) }
        #expect(throws: (any Error).self) { try Hypeman.parseAsRoot(["run", "-d", "--rm", "alpine"]) }
    }

    @Test func runAsksForATerminalAndStdin() throws {
        let body = try run("-it", "alpine", "sh")
        #expect(body.tty == true && body.stdinOpen == true)
        #expect(body.cmd == ["sh"])
        #expect(try run("-i", "alpine").tty == nil)
        #expect(try run("-t", "alpine").stdinOpen == nil)
        #expect(try Hypeman.parseAsRoot(["run", "-dit", "alpine"]) is RunCommand)
    }

    @Test func networkOptionsReachTheRequest() throws {
        let body = try run(
            "--network",
            "default",
            "-p",
            "8080:80",
            "--publish",
            "5353:53/udp",
            "--bandwidth-down",
            "20Mbps",
            "--bandwidth-up",
            "2MB/s",
            "alpine"
        )
        #expect(body.network?.enabled == true)
        #expect(
            body.network?.ports == [
                PortMapping(hostPort: 8080, guestPort: 80, transport: "tcp"),
                PortMapping(hostPort: 5353, guestPort: 53, transport: "udp"),
            ]
        )
        #expect(body.network?.bandwidthDownload == "20Mbps")
        #expect(body.network?.bandwidthUpload == "2MB/s")
        #expect(body.network?.ports?.map(\.text) == ["0.0.0.0:8080->80/tcp", "0.0.0.0:5353->53/udp"])
        #expect(try run("--network", "none", "alpine").network == CreateInstanceBody.Network(enabled: false))
        #expect(try run("alpine").network == nil, "what is not asked for is the agent's to decide")
        #expect(try run("-p", "80:80", "alpine").network?.enabled == nil)
    }

    @Test(arguments: [
        ("8080", "8080:8080"), ("80:", "HOST:GUEST"), (":80", "HOST:GUEST"), ("0:80", "from 1 to 65535"),
        ("80:65536", "from 1 to 65535"), ("80:80/sctp", "neither tcp nor udp"), ("127.0.0.1:80:80", "every address"),
        ("http:80", "HOST:GUEST"), ("+80:80", "HOST:GUEST"), ("80:80/", "neither tcp nor udp"),
    ])
    func aPortThatCannotBePublishedIsNamedWithTheForm(_ text: String, _ mention: String) throws {
        let error = #expect(throws: (any Error).self) {
            try Hypeman.parseAsRoot(["run", "--publish=\(text)", "alpine"])
        }
        let message = error.map { Hypeman.fullMessage(for: $0) } ?? ""
        #expect(message.contains("'\(text)'") && message.contains(mention), "\(message)")
    }

    @Test func networksThatDoNotGoTogetherAreRefused() {
        for arguments in [
            ["--network", "bridge"], ["--network", "none", "-p", "80:80"],
            ["--network", "none", "--bandwidth-up", "1Mbps"],
        ] {
            let error = #expect(throws: (any Error).self) { try Hypeman.parseAsRoot(["run"] + arguments + ["alpine"]) }
            #expect(error.map { Hypeman.fullMessage(for: $0) }?.contains("--network") == true)
        }
    }

    @Test func execTakesItsFlagsTogether() throws {
        let command = try #require(try Hypeman.parseAsRoot(["exec", "-it", "web", "sh", "-i"]) as? ExecCommand)
        #expect(command.interactive)
        #expect(command.tty)
        #expect(command.words == ["web", "sh", "-i"])
    }

    @Test func execOptionsReachTheRequest() throws {
        let body = try exec(
            "-i",
            "-e",
            "A=b",
            "-w",
            "/tmp",
            "-u",
            "1000",
            "--timeout",
            "1m30s",
            "web",
            "--",
            "cat",
            "-"
        )
        #expect(body.command == ["cat", "-"])
        #expect(body.stdin == true)
        #expect(body.env == ["A": "b"])
        #expect(body.cwd == "/tmp")
        #expect(body.user == "1000")
        #expect(body.timeout == 90)
        #expect(try exec("web", "true").stdin == false)
    }

    @Test func execWithoutACommandSaysSo() {
        #expect(throws: CommandError.self) { try exec("web") }
    }

    @Test func environmentFileHasCommentsAndBlanks() throws {
        let path = NSTemporaryDirectory() + "env-\(UInt64.random(in: 0...UInt64.max))"
        try "# comment\n\nA=1\n  B=two words\nHERE\n".write(toFile: path, atomically: true, encoding: .utf8)
        defer { try? FileManager.default.removeItem(atPath: path) }
        let merged = try EnvironmentOptions.merge(files: [path], variables: ["A=2"], own: ["HERE": "x"])
        #expect(merged == ["A": "2", "B": "two words", "HERE": "x"])
    }

    @Test(arguments: ["alpine", "docker.io/library/alpine:3", "localhost:5000/My_App@sha256:00", "___"])
    func madeUpNameIsValid(image: String) {
        let name = InstanceNames.random(for: image)
        #expect(name.wholeMatch(of: /[a-z0-9]([a-z0-9-]*[a-z0-9])?/) != nil)
        #expect(name.count <= 63)
    }

    @Test func exitCodeOfACommandIsHandedThrough() throws {
        #expect(try ExecCommand.status(of: .exit(code: 42, signal: nil, message: nil)) == 42)
        #expect(throws: CommandError.self) { try ExecCommand.status(of: .error(code: "x", message: "y")) }
    }

    @Test(arguments: ["run", "exec"]) func helpIsNotTakenForASubject(command: String) throws {
        let error = #expect(throws: (any Error).self) { try Hypeman.parseAsRoot([command, "--help"]) }
        #expect(error.map { Hypeman.exitCode(for: $0) } == .success)
        #expect(error.map { Hypeman.fullMessage(for: $0) }?.contains("hypeman \(command)") == true)
    }

    @Test func helpOfEveryCommandCanBeMade() {
        for command in Hypeman.configuration.subcommands {
            #expect(Hypeman.helpMessage(for: command).contains("USAGE"))
        }
    }
}

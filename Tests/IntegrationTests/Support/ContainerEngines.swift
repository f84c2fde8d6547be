import AgentTestSupport
import Foundation
import Glibc
import SystemPackage

/// Debian's Docker, daemon and command line, in a namespace and a directory of a test's own.
///
/// It is unpacked there and not installed: the package would start a daemon, and not get along with a Docker from elsewhere.
struct DockerEngine {
    private let scratch: Scratch
    private let namespace: TestNamespace

    private static let packages = ["docker.io", "containerd", "runc"]

    private var directory: FilePath { scratch.appending("docker") }
    private var path: String { "\(directory)/usr/sbin:\(directory)/usr/bin:/usr/sbin:/usr/bin:/sbin:/bin" }

    /// Runs `body` while its daemon runs; it runs no containers, and has no network of its own.
    static func with(
        _ scratch: Scratch,
        in namespace: TestNamespace,
        _ body: (DockerEngine) async throws -> Void
    ) async throws {
        let engine = DockerEngine(scratch: scratch, namespace: namespace)
        try await engine.unpack()
        let daemon = try engine.start()
        let result: Result<Void, any Error>
        do {
            try await engine.wait(for: daemon)
            result = .success(try await body(engine))
        } catch {
            result = .failure(error)
        }
        // It ends its containerd with itself.
        kill(daemon.process.processIdentifier, SIGTERM)
        for await _ in daemon.exited {}
        try result.get()
    }

    private func unpack() async throws {
        try FileManager.default.createDirectory(atPath: directory.string, withIntermediateDirectories: true)
        try await tool("apt-get", ["download", "-qq"] + Self.packages, in: directory)
        for file in try FileManager.default.contentsOfDirectory(atPath: directory.string) where file.hasSuffix(".deb") {
            try await tool("dpkg-deb", ["--extract", directory.appending(file).string, directory.string])
        }
    }

    private func start() throws -> (process: Process, exited: AsyncStream<Void>) {
        let process = Process()
        // Not `ip netns exec`, which hides the control groups that the daemon asks for.
        process.executableURL = URL(fileURLWithPath: "/usr/bin/nsenter")
        let groups = "mountpoint -q /sys/fs/cgroup || mount -t cgroup2 none /sys/fs/cgroup"
        process.arguments =
            ["--net=/run/netns/\(namespace.name)", "unshare", "--mount", "--propagation", "private"]
            + ["sh", "-ec", groups + #"; exec "$@""#, "sh", "\(directory)/usr/sbin/dockerd"]
            + [
                "--data-root=\(scratch.appending("docker-data"))", "--exec-root=\(scratch.appending("docker-run"))",
                "--pidfile=\(scratch.appending("docker.pid"))", "--host=unix://\(scratch.appending("docker.sock"))",
                "--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=vfs",
            ]
        process.environment = ["PATH": path]
        let log = scratch.appending("dockerd.log").string
        try Data().write(to: URL(fileURLWithPath: log))
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle(forWritingAtPath: log)
        process.standardError = process.standardOutput
        let (exited, exit) = AsyncStream.makeStream(of: Void.self)
        process.terminationHandler = { _ in exit.finish() }
        try process.run()
        return (process, exited)
    }

    private func wait(for daemon: (process: Process, exited: AsyncStream<Void>)) async throws {
        let deadline = ContinuousClock.now + .seconds(60)
        while true {
            do {
                try await run("version")
                return
            } catch {
                guard daemon.process.isRunning, ContinuousClock.now < deadline else {
                    let log = try? String(contentsOfFile: scratch.appending("dockerd.log").string, encoding: .utf8)
                    throw ToolFailure(description: "dockerd does not answer: \(log?.suffix(2000) ?? "")")
                }
                try await Task.sleep(for: .milliseconds(100))
            }
        }
    }

    /// Runs `docker`, which must succeed.
    @discardableResult
    func run(_ arguments: String...) async throws -> String {
        let environment = [
            "PATH=\(path)", "DOCKER_HOST=unix://\(scratch.appending("docker.sock"))",
            "DOCKER_CONFIG=\(scratch.appending("docker-config"))",
        ]
        return try await namespace.run(["env", "-i"] + environment + ["docker"] + arguments)
    }
}

/// Podman, with images in a directory of a test's own.
struct PodmanEngine {
    let scratch: Scratch
    let namespace: TestNamespace

    /// Runs `podman`, which must succeed.
    @discardableResult
    func run(_ arguments: String...) async throws -> String {
        try await namespace.run(
            [
                "podman", "--root", scratch.appending("podman-data").string, "--runroot",
                scratch.appending("podman-run").string, "--storage-driver", "vfs",
            ] + arguments
        )
    }
}

import AgentTestSupport
import Foundation
import Subprocess
import SystemPackage
import Testing

/// A real agent with its own state, and the real command line that talks to it.
///
/// Both are the programs that `swift build --build-tests` made beside the tests.
final class PrivateAgent {
    /// What a command printed, and how it ended.
    struct Outcome: CustomStringConvertible {
        var code: Int
        var output: String
        var errors: String

        var description: String { "exit \(code)\n\(output)\(errors)" }
    }

    let scratch: Scratch
    private let environment: [String: String]
    /// The network namespace that the agent lives in; the command line need not, a unix socket is a file.
    private let namespace: String?
    /// Whom the agent runs as; nil is the test's own user.
    private let user: ServiceUser?
    /// What it finds in /usr/sbin instead of what the host has there.
    private var programs: FilePath?
    /// Whether it is started by the first connection to its socket, which is passed to it, as systemd does it.
    private let isActivated: Bool
    private var process: Process?
    private var exited: AsyncStream<Void>?

    var data: FilePath { FilePath(environment["DATA_DIR"] ?? "") }
    private var socket: FilePath { scratch.appending("run/agent.sock") }

    /// Runs `body` with an agent that is up, and removes every instance and file afterwards.
    ///
    /// - Parameters:
    ///   - variables: Configuration beyond what keeps it private.
    ///   - namespace: The network namespace that it lives in, under /run/netns; nil is the test's own.
    ///   - user: Whom it runs as; nil is the test's own user.
    ///   - isActivated: Whether its socket is made before it and passed to it.
    ///   - body: What is done with it.
    /// - Throws: What `body` throws.
    static func with(
        _ variables: [String: String] = [:],
        namespace: String? = nil,
        user: ServiceUser? = nil,
        isActivated: Bool = false,
        _ body: (PrivateAgent) async throws -> Void
    ) async throws {
        try await Scratch.with { scratch in
            let agent = PrivateAgent(scratch, variables, namespace, user, isActivated)
            try await user?.prepare(scratch)
            try await agent.start()
            do {
                try await body(agent)
            } catch {
                print("--- the agent's log:\n\(agent.log.suffix(20_000))")
                try await agent.end()
                throw error
            }
            try await agent.end()
        }
    }

    private init(
        _ scratch: Scratch,
        _ variables: [String: String],
        _ namespace: String?,
        _ user: ServiceUser?,
        _ isActivated: Bool
    ) {
        self.scratch = scratch
        self.isActivated = isActivated
        self.namespace = namespace
        self.user = user
        let guest = FilePath(ProcessInfo.processInfo.environment["HYPEMAN_TEST_GUEST"] ?? ".build/guest")
        let absolute = FilePath(FileManager.default.currentDirectoryPath).pushing(guest)
        environment = [
            "PATH": ProcessInfo.processInfo.environment["PATH"] ?? "/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": scratch.path.string,
            "DATA_DIR": scratch.appending("data").string,
            "RUNTIME_DIR": scratch.appending("run").string,
            "HYPEMAN_SOCKET": scratch.appending("run/agent.sock").string,
            "KERNEL_PATH": absolute.pushing("kernel/vmlinux").string,
            "INITRD_PATH": absolute.pushing("initrd").string,
            // Not this machine's.
            "CONFIG_FILE": scratch.appending("hypeman.env").string,
            "LOG_LEVEL": "debug",
            "NETWORK": "none",
        ].merging(variables) { _, given in given }
    }

    /// What the agent wrote so far, over all its lives.
    var log: String { (try? String(contentsOfFile: scratch.appending("agent.log").string, encoding: .utf8)) ?? "" }

    // MARK: Its life

    /// Starts it and waits until it answers.
    func start() async throws {
        let path = scratch.appending("agent.log").string
        if !FileManager.default.fileExists(atPath: path) {
            #expect(FileManager.default.createFile(atPath: path, contents: nil))
        }
        let log = try #require(FileHandle(forWritingAtPath: path))
        log.seekToEndOfFile()
        let process = Process()
        makeConfiguration()
        if isActivated {
            try FileManager.default.createDirectory(
                atPath: scratch.appending("run").string,
                withIntermediateDirectories: true
            )
        }
        let command = isActivated ? activation() : command(["serve"])
        process.executableURL = URL(fileURLWithPath: command.executable)
        process.arguments = command.arguments
        process.environment = environment
        process.currentDirectoryURL = URL(fileURLWithPath: scratch.path.string)
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = log
        process.standardError = log
        let (exited, exit) = AsyncStream.makeStream(of: Void.self)
        process.terminationHandler = { _ in exit.finish() }
        try process.run()
        self.process = process
        self.exited = exited
        for _ in 0..<600 {
            if try await hypeman("ps").code == 0 { return }
            guard process.isRunning else {
                throw ToolFailure(description: "the agent ended: \(self.log.suffix(2_000))")
            }
            try await Task.sleep(for: .milliseconds(50))
        }
        throw ToolFailure(description: "the agent does not answer")
    }

    /// The agent's program with its arguments, executed in place inside the namespace.
    private func command(_ arguments: [String]) -> (executable: String, arguments: [String]) {
        let agent = BuiltProgram.path("hypeman-agent").string
        var own = user?.command([agent] + arguments, in: scratch) ?? [agent] + arguments
        guard let namespace else { return ("/usr/bin/env", own) }
        if let programs {
            // `ip netns exec` gives the process mounts of its own.
            let hide = #"mount --bind "$1" /usr/sbin && shift && exec "$@""#
            own = ["sh", "-c", hide, "sh", programs.string] + own
        }
        return ("/usr/sbin/ip", ["netns", "exec", namespace] + own)
    }

    /// What an agent that cannot start there says, and what `hypeman-agent check` does, which must call it an error.
    ///
    /// - Parameters:
    ///   - variables: As for ``with(_:namespace:user:_:)``.
    ///   - namespace: Where.
    ///   - program: One in /usr/sbin that this host is to be without.
    ///   - code: What `serve` ends with: 78 for a configuration that is wrong wherever it is.
    /// - Returns: What they print.
    /// - Throws: ``ToolFailure``.
    static func refusedStart(
        _ variables: [String: String],
        namespace: String,
        without program: String? = nil,
        code: Int32 = 1
    ) async throws -> (start: String, check: String) {
        try await Scratch.with { scratch in
            let agent = PrivateAgent(scratch, variables, namespace, nil, false)
            if let program {
                agent.programs = scratch.appending("sbin")
                try await tool("cp", ["--archive", "/usr/sbin", scratch.appending("sbin").string])
                try FileManager.default.removeItem(atPath: scratch.appending("sbin").appending(program).string)
            }
            agent.makeConfiguration()
            // Looked at first: it must not matter that an agent has tried.
            let check = try await agent.agentTool(["check"], accepting: 1)
            let start = try await agent.agentTool(["serve"], accepting: code)
            return (start, check)
        }
    }

    /// An empty configuration file, if the test has written none.
    private func makeConfiguration() {
        let path = scratch.appending("hypeman.env").string
        guard !FileManager.default.fileExists(atPath: path) else { return }
        #expect(FileManager.default.createFile(atPath: path, contents: nil))
    }

    /// systemd-socket-activate(1) with the agent: it passes nothing of the environment on that is not named.
    private func activation() -> (executable: String, arguments: [String]) {
        let socket = socket.string
        let variables = environment.sorted { $0.key < $1.key }.flatMap { ["-E", "\($0.key)=\($0.value)"] }
        return (
            "/usr/bin/systemd-socket-activate",
            ["-l", socket] + variables + [BuiltProgram.path("hypeman-agent").string, "serve"]
        )
    }

    /// Runs one of the agent's tools, which must succeed.
    @discardableResult
    func agentTool(_ arguments: String...) async throws -> String {
        try await agentTool(arguments, accepting: 0)
    }

    /// Runs one of the agent's tools, which must end with a code, and returns all that it prints.
    private func agentTool(_ arguments: [String], accepting code: Int32) async throws -> String {
        let command = command(arguments)
        let result = try await run(
            .path("/usr/bin/timeout"),
            // None of them takes long; an agent that starts although it should not would run for ever.
            arguments: Arguments(["120", command.executable] + command.arguments),
            environment: .custom(environment.asSubprocessKeys),
            workingDirectory: scratch.path,
            output: .string(limit: 1 << 20),
            error: .string(limit: 1 << 20)
        )
        guard case .exited(code) = result.terminationStatus else {
            throw ToolFailure(
                description: "hypeman-agent \(arguments): \(result.standardOutput)\(result.standardError)"
            )
        }
        return code == 0 ? result.standardOutput : result.standardOutput + result.standardError
    }

    /// The agent's process.
    var pid: Int32? { process?.processIdentifier }

    /// Sends it a signal and waits for its end.
    func stop(_ signal: Int32 = SIGTERM) async {
        guard let process, let exited else { return }
        kill(process.processIdentifier, signal)
        for await _ in exited {}
        self.process = nil
    }

    private func end() async throws {
        let names = try await hypeman("ps", "-a", "-q").output.split(separator: "\n").map(String.init)
        for name in names { try await expect("rm", "-f", name) }
        await stop()
        // The name server of its network outlives it, as VMs do.
        if namespace != nil { try await agentTool("network", "teardown") }
        let left = try await tool("sh", ["-c", "pgrep -f \"$1\" || true", "sh", scratch.path.string])
        // The shell that looks has the path among its own arguments.
        let pids = left.split(separator: "\n").filter { FileManager.default.fileExists(atPath: "/proc/\($0)/exe") }
        #expect(pids.isEmpty, "processes are left")
    }

    // MARK: The command line

    /// Runs `hypeman` and reports how it ended.
    func hypeman(
        _ arguments: String...,
        input: [UInt8] = [],
        variables: [String: String] = [:]
    ) async throws -> Outcome {
        try await hypeman(arguments, input: input, variables: variables)
    }

    func hypeman(
        _ arguments: [String],
        input: [UInt8] = [],
        variables: [String: String] = [:]
    ) async throws -> Outcome {
        let environment = environment.merging(variables) { _, given in given }
        let result = try await run(
            .path(BuiltProgram.path("hypeman")),
            arguments: Arguments(arguments),
            environment: .custom(environment.asSubprocessKeys),
            input: .array(input),
            output: .bytes(limit: 128 << 20),
            error: .bytes(limit: 1 << 20)
        )
        let code =
            switch result.terminationStatus {
            case .exited(let code): Int(code)
            case .signaled(let signal): 128 + Int(signal)
            }
        return Outcome(
            code: code,
            output: String(decoding: result.standardOutput, as: UTF8.self),
            errors: String(decoding: result.standardError, as: UTF8.self)
        )
    }

    /// Begins to run `hypeman` beside the test; what becomes of it is nobody's business.
    func begin(_ arguments: String..., input: Pipe? = nil) throws -> Process {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: BuiltProgram.path("hypeman").string)
        process.arguments = arguments
        process.environment = environment
        process.standardInput = input ?? FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        return process
    }

    /// Runs `hypeman` on a terminal.
    func terminal<T>(
        _ arguments: String...,
        body: (TerminalSession) async throws -> T
    ) async throws -> T {
        try await TerminalSession.with(BuiltProgram.path("hypeman"), arguments, environment: environment, body)
    }

    /// Runs `hypeman`, which must succeed, and returns its output without the last newline.
    @discardableResult
    func expect(
        _ arguments: String...,
        input: [UInt8] = [],
        code: Int = 0,
        at location: Testing.SourceLocation = #_sourceLocation
    ) async throws -> String {
        try await expect(arguments, input: input, code: code, at: location)
    }

    @discardableResult
    func expect(
        _ arguments: [String],
        input: [UInt8] = [],
        code: Int = 0,
        at location: Testing.SourceLocation = #_sourceLocation
    ) async throws -> String {
        let outcome = try await hypeman(arguments, input: input)
        #expect(
            outcome.code == code,
            "hypeman \(arguments.joined(separator: " ")): \(outcome)",
            sourceLocation: location
        )
        return outcome.output.hasSuffix("\n") ? String(outcome.output.dropLast()) : outcome.output
    }

    /// Runs `hypeman`, which must fail, and returns what it says; that is for people: one line, and not a Swift value.
    @discardableResult
    func refusal(
        _ arguments: String...,
        at location: Testing.SourceLocation = #_sourceLocation
    ) async throws -> String {
        let outcome = try await hypeman(arguments)
        #expect(outcome.code != 0, "hypeman \(arguments.joined(separator: " ")): \(outcome)", sourceLocation: location)
        #expect(!outcome.errors.isEmpty, sourceLocation: location)
        #expect(!outcome.errors.contains("AgentError("), "\(outcome)", sourceLocation: location)
        return outcome.errors
    }

    /// Asks for an instance until what is said of it fits, at most a minute.
    @discardableResult
    func inspect(
        _ name: String,
        until fits: (String) -> Bool,
        at location: Testing.SourceLocation = #_sourceLocation
    ) async throws -> String {
        let deadline = ContinuousClock.now + .seconds(60)
        while true {
            let said = try await expect("inspect", name, at: location)
            if fits(said) { return said }
            guard ContinuousClock.now < deadline else {
                throw ToolFailure(description: "\(name) did not come to what was waited for: \(said)")
            }
            try await Task.sleep(for: .milliseconds(100))
        }
    }

    /// Every file of the data directory that belongs to an image or an instance.
    func leftFiles() throws -> [String] {
        try FileManager.default.subpathsOfDirectory(atPath: data.string).filter { path in
            var isDirectory: ObjCBool = false
            _ = FileManager.default.fileExists(atPath: data.pushing(FilePath(path)).string, isDirectory: &isDirectory)
            return !isDirectory.boolValue && !path.hasPrefix("state.db") && path != "agent.lock"
        }
    }

    /// The sizes of files together, in bytes.
    ///
    /// One that is rotated away between listing and looking makes it list anew.
    func size(where isCounted: (String) -> Bool) throws -> Int {
        while true {
            do {
                return try leftFiles().filter(isCounted).reduce(0) { sum, path in
                    let file = data.pushing(FilePath(path)).string
                    return sum + (try FileManager.default.attributesOfItem(atPath: file)[.size] as? Int ?? 0)
                }
            } catch CocoaError.fileReadNoSuchFile, CocoaError.fileNoSuchFile {
                continue
            }
        }
    }
}

extension [String: String] {
    /// An environment as Subprocess wants it.
    fileprivate var asSubprocessKeys: [Subprocess.Environment.Key: String] {
        Dictionary<Subprocess.Environment.Key, String>(
            uniqueKeysWithValues: map { (Subprocess.Environment.Key(stringLiteral: $0.key), $0.value) }
        )
    }
}

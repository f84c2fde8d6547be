import CInit
import Glibc
import GuestProtocol
import NIOCore
import NIOPosix

/// Why a request to run a command makes no sense.
struct ExecRefusal: Error {
    var message: String
}

/// A command beside the program, for as long as the host's stream lasts.
///
/// Used on the event loop only.
final class ExecSession {
    /// Bytes for stdin that the command has not yet taken, before the host is made to wait.
    private static let inputLimit = 256 << 10

    private let agent: GuestAgent
    private unowned let stream: AgentStream
    private var pid: pid_t?
    private var readers: [PipeReader] = []
    private var openReaders = 0
    private var input: InputWriter?
    private var terminal: Int32?
    private var exit: GuestExit?
    private var timeout: Scheduled<Void>?
    private var timeoutMilliseconds: Int?
    private var abandoned = false
    private(set) var hasStarted = false

    init(agent: GuestAgent, stream: AgentStream) {
        self.agent = agent
        self.stream = stream
    }

    /// Takes what the host sends.
    func receive(_ frame: GuestFrame) throws {
        guard hasStarted else {
            guard frame.kind == .request else { throw ExecRefusal(message: "the first frame is no request") }
            let request: ExecRequest
            do {
                request = try GuestJSON.decode(ExecRequest.self, from: frame.payload)
            } catch {
                throw ExecRefusal(message: "the request cannot be read: \(error)")
            }
            hasStarted = true
            stream.respondHeaders(200)
            start(request)
            return
        }
        switch frame.kind {
        case .stdin: input?.write(frame.payload)
        case .stdinEnd: endInput()
        case .signal:
            guard let number = frame.payload.first, (1...UInt8(SignalName.maximum)).contains(number) else { return }
            if let pid { Glibc.kill(-pid, Int32(number)) }
        case .resize:
            guard let terminal, let size = try? GuestJSON.decode(TerminalSize.self, from: frame.payload) else { return }
            PseudoTerminal.resize(terminal, to: size)
        default: break
        }
    }

    /// No more input will come.
    func endInput() {
        input?.finish()
    }

    /// The stream has room again.
    func resumeOutput() {
        for reader in readers { reader.resume() }
    }

    /// Kills the command with all that it started: the host does not wait for it any more.
    func kill() {
        abandoned = true
        timeout?.cancel()
        input?.abandon()
        if let pid { ProcessSession.kill(pid) }
        for reader in readers { reader.finish() }
    }

    private func start(_ request: ExecRequest) {
        do throws(LaunchFailure) {
            var program = request.program
            let base = agent.configuration.program
            program.environment = base.environment + program.environment
            if program.workingDirectory.isEmpty { program.workingDirectory = base.workingDirectory }
            if program.user.isEmpty { program.user = base.user }
            let plan = try LaunchPlan(
                program,
                users: agent.users(),
                hostname: agent.configuration.hostname,
                terminal: request.terminal != nil
            )
            if let size = request.terminal {
                try launchOnTerminal(plan, size: size)
            } else {
                try launchOnPipes(plan, stdin: request.stdin)
            }
        } catch {
            exit = error.exit
            return finishIfDone()
        }
        guard let milliseconds = request.timeoutMilliseconds, let pid else { return }
        timeoutMilliseconds = milliseconds
        timeout = agent.eventLoop.assumeIsolated().scheduleTask(in: .milliseconds(Int64(clamping: milliseconds))) {
            [weak self] in
            guard let self, self.exit == nil else { return }
            timeout = nil
            ProcessSession.kill(pid)
        }
    }

    private func launchOnPipes(_ plan: LaunchPlan, stdin: Bool) throws(LaunchFailure) {
        var standardInput: (read: Int32, write: Int32) = (-1, -1)
        var standardOutput = standardInput
        var standardError = standardInput
        if stdin {
            hypeman_pipe(&standardInput.read, &standardInput.write)
        } else {
            standardInput.read = hypeman_open("/dev/null", O_RDONLY)
        }
        hypeman_pipe(&standardOutput.read, &standardOutput.write)
        hypeman_pipe(&standardError.read, &standardError.write)
        defer {
            for descriptor in [standardInput.read, standardOutput.write, standardError.write] { close(descriptor) }
        }
        do {
            try launch(
                plan,
                input: standardInput.read,
                output: standardOutput.write,
                error: standardError.write,
                terminal: false
            )
        } catch {
            for descriptor in [standardInput.write, standardOutput.read, standardError.read] where descriptor >= 0 {
                close(descriptor)
            }
            throw error
        }
        if stdin { startInput(standardInput.write, isTerminal: false) }
        read(standardOutput.read, as: .stdout)
        read(standardError.read, as: .stderr)
    }

    private func launchOnTerminal(_ plan: LaunchPlan, size: TerminalSize) throws(LaunchFailure) {
        let ends = try PseudoTerminal(size: size, owner: plan.identity.uid)
        defer { close(ends.terminal) }
        do {
            try launch(plan, input: ends.terminal, output: ends.terminal, error: ends.terminal, terminal: true)
        } catch {
            close(ends.controller)
            throw error
        }
        terminal = ends.controller
        startInput(dup(ends.controller), isTerminal: true)
        read(ends.controller, as: .stdout)
    }

    private func launch(
        _ plan: LaunchPlan,
        input: Int32,
        output: Int32,
        error: Int32,
        terminal: Bool
    ) throws(LaunchFailure) {
        pid = try agent.launch(plan, input: input, output: output, error: error, terminal: terminal) { [self] status in
            // From here on the number may be another process's.
            pid = nil
            var exit = GuestExit(status: status)
            if let timeoutMilliseconds, timeout == nil {
                exit.message = "killed: it did not end within \(timeoutMilliseconds) ms"
            }
            self.exit = exit
            timeout?.cancel()
            self.input?.abandon()
            self.input = nil
            for reader in readers { reader.finish() }
            finishIfDone()
        }
    }

    private func read(_ descriptor: Int32, as source: OutputStream) {
        openReaders += 1
        let reader = PipeReader(
            canRead: { [self] in abandoned || stream.hasRoom },
            onBytes: { [self] bytes in if !abandoned { stream.send(source == .stdout ? .stdout : .stderr, bytes) } },
            onEnd: { [self] in
                openReaders -= 1
                if source == .stdout { terminal = nil }
                finishIfDone()
            }
        )
        readers.append(reader)
        reader.start(descriptor, on: agent.eventLoop)
    }

    private func startInput(_ descriptor: Int32, isTerminal: Bool) {
        let writer = InputWriter(isTerminal: isTerminal) { [self] waiting in
            guard !abandoned else { return }
            if waiting >= ExecSession.inputLimit { stream.pauseInput() } else { stream.resumeInput() }
        }
        input = writer
        writer.start(descriptor, on: agent.eventLoop)
    }

    private func finishIfDone() {
        guard let exit, openReaders == 0 else { return }
        readers = []
        guard !abandoned else { return }
        abandoned = true
        if let payload = try? GuestJSON.encode(exit) { stream.send(.exit, payload) }
        stream.finish()
    }
}

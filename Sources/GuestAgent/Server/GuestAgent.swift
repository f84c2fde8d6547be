import CInit
import Glibc
public import GuestProtocol
import GuestTransport
public import NIOCore
import NIOHTTP2
import NIOPosix

/// The part of hypeman-init that talks to the host: starts the program and commands beside it, and reports on them.
///
/// All of it lives on one event loop; what is marked as callable from anywhere hops there.
public final class GuestAgent: @unchecked Sendable {  // Every mutable property is touched on `eventLoop` only.
    /// This release of hypeman-init.
    public static let version = "0.1.0"

    /// A terminal's size until somebody who is attached says theirs.
    private static let initialSize = TerminalSize(rows: 24, columns: 80)

    /// From a request that ends the guest to its end.
    private static let answerPause = TimeAmount.milliseconds(50)

    /// The loop that everything happens on.
    public let eventLoop: any EventLoop
    /// Succeeds when the host has stored the program's exit.
    public let exitAcknowledged: EventLoopFuture<Void>

    private(set) var configuration: GuestConfiguration
    let awakening: Awakening?
    let volumes: VolumeMounting?
    let renaming: Renaming?
    private let powerOff: (@Sendable () -> Void)?
    let events = EventLog()
    let output: ProgramOutput
    let copies = FileCopies()
    private let acknowledgement: EventLoopPromise<Void>
    private let watch: @Sendable (Int32) -> Void
    private var exits: [Int32: (Int32) -> Void] = [:]
    private var program: Int32?
    /// Whether commands can be run: before, they would find the initrd where they expect the image.
    private(set) var acceptsCommands = false
    /// Where input for the program goes, while it runs and if it takes any.
    private(set) var input: ProgramInput?
    private var connections: [ObjectIdentifier: any Channel] = [:]

    /// Makes an agent.
    ///
    /// - Parameters:
    ///   - configuration: What the host wrote on the configuration disk.
    ///   - eventLoop: Where to live.
    ///   - awakening: What to do after a standstill; nil for a guest that cannot do anything about it.
    ///   - volumes: How volumes come and go while it runs; nil for a guest that cannot do that.
    ///   - renaming: How to become another guest; nil for a guest that cannot.
    ///   - powerOff: Ends the guest at once, with its disks written back; nil where that is not this agent's to do.
    ///   - watch: Told of each process that is started, on the event loop; someone must then call
    ///     ``childEnded(_:status:)`` when it has ended. PID 1 hears of every child and ignores this.
    public init(
        configuration: GuestConfiguration,
        eventLoop: any EventLoop,
        awakening: Awakening? = nil,
        volumes: VolumeMounting? = nil,
        renaming: Renaming? = nil,
        powerOff: (@Sendable () -> Void)? = nil,
        watch: @escaping @Sendable (Int32) -> Void = { _ in }
    ) {
        self.configuration = configuration
        self.eventLoop = eventLoop
        self.awakening = awakening
        self.volumes = volumes
        self.renaming = renaming
        self.powerOff = powerOff
        self.watch = watch
        output = ProgramOutput(capacity: max(configuration.outputBufferSize, 64 << 10))
        acknowledgement = eventLoop.makePromise(of: Void.self)
        exitAcknowledged = acknowledgement.futureResult
    }

    /// Speaks HTTP/2 with the host on a connected socket, which is owned from now on.
    ///
    /// Callable from anywhere.
    public func serve(_ socket: Int32) {
        ClientBootstrap(group: eventLoop)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let handler = NIOHTTP2Handler(
                        mode: .server,
                        eventLoop: channel.eventLoop,
                        connectionConfiguration: GuestHTTP2.connection,
                        streamConfiguration: GuestHTTP2.stream
                    ) { stream in
                        stream.eventLoop.makeCompletedFuture {
                            try stream.syncOptions?.setOption(.autoRead, value: false)
                            try stream.pipeline.syncOperations.addHandler(AgentStream(agent: self))
                        }
                    }
                    try channel.pipeline.syncOperations.addHandler(handler)
                    try channel.pipeline.syncOperations.addHandler(ConnectionEnd())
                }
            }
            .withConnectedSocket(socket)
            .whenSuccess { channel in
                self.connections[ObjectIdentifier(channel)] = channel
                channel.closeFuture.whenComplete { _ in self.connections[ObjectIdentifier(channel)] = nil }
            }
    }

    /// Ends every connection once what was written to it is on its way.
    ///
    /// Callable from anywhere.
    public func disconnect() -> EventLoopFuture<Void> {
        eventLoop.flatSubmit {
            EventLoopFuture.andAllComplete(self.connections.values.map { $0.close() }, on: self.eventLoop)
        }
    }

    /// Allows commands, which are refused until then: the image's root file system is in place.
    ///
    /// Callable from anywhere.
    public func acceptCommands() {
        eventLoop.execute { self.acceptsCommands = true }
    }

    /// Starts the image's program and reports that it was started, or why not.
    ///
    /// Callable from anywhere.
    public func startProgram() {
        eventLoop.execute {
            do throws(LaunchFailure) {
                let pid = try self.launchProgram()
                self.program = pid
                self.events.append(.started(pid: Int(pid)))
            } catch {
                self.events.append(.exited(error.exit))
                self.output.finish()
            }
        }
    }

    /// Reports a program that is not this agent's child: systemd.
    ///
    /// Callable from anywhere.
    public func adoptProgram(pid: Int32) {
        eventLoop.execute {
            self.program = pid
            self.events.append(.started(pid: Int(pid)))
        }
    }

    /// Asks the program to end, with its stop signal.
    ///
    /// Callable from anywhere.
    public func stopProgram() {
        eventLoop.execute { _ = self.signalProgram(nil) }
    }

    /// Reports that the program has ended, or never ran.
    ///
    /// Callable from anywhere.
    public func reportExit(_ exit: GuestExit) {
        eventLoop.execute {
            self.program = nil
            self.events.append(.exited(exit))
            self.output.finish()
        }
    }

    /// Takes note that a child has ended.
    ///
    /// Callable from anywhere; children that nobody asked for are orphans of others.
    public func childEnded(_ pid: Int32, status: Int32) {
        eventLoop.execute { self.exits.removeValue(forKey: pid)?(status) }
    }

    /// Starts a process; `onExit` is called on the event loop with its wait status.
    func launch(
        _ plan: LaunchPlan,
        input: Int32,
        output: Int32,
        error: Int32,
        terminal: Bool,
        onExit: @escaping (Int32) -> Void
    ) throws(LaunchFailure) -> Int32 {
        let pid = try Launcher.launch(plan, input: input, output: output, error: error, terminal: terminal)
        exits[pid] = onExit
        watch(pid)
        return pid
    }

    /// The image's users as they are now: the program may add some.
    func users() -> UserDatabase {
        UserDatabase(passwd: SmallFile.text("/etc/passwd") ?? "", group: SmallFile.text("/etc/group") ?? "")
    }

    /// Sends a signal to the program.
    ///
    /// Returns whether there was one to send it to.
    func signalProgram(_ number: UInt64?) -> Bool {
        guard let program else { return false }
        if number == UInt64(SIGKILL), configuration.mode == .systemd, let powerOff {
            // The kernel keeps such a signal from PID 1 (pid_namespaces(7)); the answer goes out before the guest does.
            eventLoop.scheduleTask(in: GuestAgent.answerPause) { powerOff() }
            return true
        }
        return kill(program, number.flatMap { Int32(exactly: $0) } ?? stopSignal) == 0
    }

    /// Becomes another guest, first of all in its random numbers.
    ///
    /// - Returns: What went wrong, nil if nothing did; it can be told again then.
    func take(_ identity: GuestIdentity) -> Awakening.Failure? {
        if let failure = awakening?.apply(identity.news) ?? renaming?.apply(identity, to: configuration) {
            return failure
        }
        configuration.take(identity)
        return nil
    }

    func acknowledgeExit() {
        acknowledgement.succeed(())
    }

    /// What asks the program to end.
    ///
    /// To systemd that is always SIGRTMIN+4, "power off": an image's STOPSIGNAL, SIGRTMIN+3, would halt the machine
    /// without powering it off (systemd(1)).
    private var stopSignal: Int32 {
        if configuration.mode == .systemd { return 38 }
        return configuration.program.stopSignal.flatMap { SignalName.number(of: $0) } ?? SIGTERM
    }

    private func launchProgram() throws(LaunchFailure) -> Int32 {
        let plan = try LaunchPlan(
            configuration.program,
            users: users(),
            hostname: configuration.hostname,
            terminal: configuration.terminal
        )
        return configuration.terminal ? try launchOnTerminal(plan) : try launchOnPipes(plan)
    }

    private func launchOnTerminal(_ plan: LaunchPlan) throws(LaunchFailure) -> Int32 {
        let ends = try PseudoTerminal(size: GuestAgent.initialSize, owner: plan.identity.uid)
        let terminal = ends.terminal
        let pid: Int32
        do {
            pid = try launchProgram(plan, input: terminal, output: terminal, error: terminal)
        } catch {
            close(ends.controller)
            close(terminal)
            throw error
        }
        let input = ProgramInput(
            input: configuration.openStandardInput ? dup(ends.controller) : nil,
            terminal: terminal,
            on: eventLoop
        )
        self.input = input
        output.read(ends.controller, as: .stdout, on: eventLoop) { input.closeTerminal() }
        return pid
    }

    private func launchOnPipes(_ plan: LaunchPlan) throws(LaunchFailure) -> Int32 {
        var inputs: (read: Int32, write: Int32) = (-1, -1)
        if configuration.openStandardInput {
            hypeman_pipe(&inputs.read, &inputs.write)
        } else {
            inputs.read = hypeman_open("/dev/null", O_RDONLY)
        }
        var outputs: [(read: Int32, write: Int32)] = []
        for _ in OutputStream.allCases {
            var pair: (read: Int32, write: Int32) = (-1, -1)
            hypeman_pipe(&pair.read, &pair.write)
            outputs.append(pair)
        }
        defer { for descriptor in [inputs.read] + outputs.map(\.write) { close(descriptor) } }
        for (stream, pair) in zip(OutputStream.allCases, outputs) { output.read(pair.read, as: stream, on: eventLoop) }
        do {
            let pid = try launchProgram(plan, input: inputs.read, output: outputs[0].write, error: outputs[1].write)
            if configuration.openStandardInput {
                input = ProgramInput(input: inputs.write, terminal: nil, on: eventLoop)
            }
            return pid
        } catch {
            if inputs.write >= 0 { close(inputs.write) }
            throw error
        }
    }

    private func launchProgram(
        _ plan: LaunchPlan,
        input: Int32,
        output: Int32,
        error: Int32
    ) throws(LaunchFailure) -> Int32 {
        try launch(
            plan,
            input: input,
            output: output,
            error: error,
            terminal: configuration.terminal
        ) { [self] status in
            program = nil
            self.input?.end()
            self.input = nil
            self.output.finish()
            events.append(.exited(GuestExit(status: status)))
        }
    }
}

extension GuestExit {
    /// From the status of wait(2).
    init(status: Int32) {
        let signal = hypeman_exit_signal(status)
        self.init(code: Int(hypeman_exit_code(status)), signal: signal == 0 ? nil : Int(signal))
    }
}

/// Closes a connection whose HTTP/2 has failed: the host begins another.
private final class ConnectionEnd: ChannelInboundHandler {
    typealias InboundIn = HTTP2Frame

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {}

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if error is NIOHTTP2Errors.StreamError { return }
        context.close(promise: nil)
    }
}

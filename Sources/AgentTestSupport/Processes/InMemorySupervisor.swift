public import AgentCore
import Synchronization
import SystemPackage

/// The supervisor port in memory: processes that run until they are signalled, or end as they are told.
public final class InMemorySupervisor: ProcessSupervisor {
    /// The processes of a host, which outlive a supervisor.
    private final class Host: Sendable {
        struct State {
            var processes: [(process: InMemoryProcess, arguments: [String])] = []
            var nextPID: Int32 = 100
        }
        let state = Mutex(State())
    }

    private let host: Host
    /// How a process ends by itself; nil: it runs on.
    private let exit: @Sendable (ProcessSpecification) -> ProcessExit?

    /// A supervisor on a host of its own.
    public convenience init(exit: @escaping @Sendable (ProcessSpecification) -> ProcessExit? = { _ in nil }) {
        self.init(host: Host(), exit: exit)
    }

    private init(host: Host, exit: @escaping @Sendable (ProcessSpecification) -> ProcessExit?) {
        self.host = host
        self.exit = exit
    }

    /// The supervisor of the agent's next life, on the same host.
    public func restarted() -> InMemorySupervisor { InMemorySupervisor(host: host, exit: exit) }

    public func start(_ specification: ProcessSpecification) async throws -> any SupervisedProcess {
        guard !specification.executable.starts(with: "/nonexistent") else {
            throw AgentError(.unavailable, "\(specification.executable) cannot be started")
        }
        let process = host.state.withLock { state in
            state.nextPID += 1
            let process = InMemoryProcess(
                ProcessIdentity(pid: state.nextPID, startTime: UInt64(state.nextPID), bootID: "in-memory")
            )
            state.processes.append((process, specification.arguments))
            return process
        }
        if let exit = exit(specification) { process.end(exit) }
        return process
    }

    public func adopt(_ identity: ProcessIdentity) async throws -> (any SupervisedProcess)? {
        running.first { $0.process.identity == identity }?.process
    }

    public func find(mark: String) async throws -> [any SupervisedProcess] {
        running.filter { $0.arguments.contains(mark) }.map(\.process)
    }

    private var running: [(process: InMemoryProcess, arguments: [String])] {
        host.state.withLock { $0.processes.filter { $0.process.exit.value == nil } }
    }
}

/// A process of an ``InMemorySupervisor``.
final class InMemoryProcess: SupervisedProcess {
    let identity: ProcessIdentity
    let exit = OneShot<ProcessExit>()

    init(_ identity: ProcessIdentity) {
        self.identity = identity
    }

    func waitForExit() async throws -> ProcessExit { try await exit.wait() }
    func permit(_: [ProcessFile]) async throws {}
    func forbid(_: [ProcessFile]) async throws {}
    func collect(into directory: FilePath, _ body: @Sendable (FilePath) async throws -> Void) async throws {
        try await body(directory)
    }
    func signal(_ number: Int32) { end(.signal(Int(number))) }
    func end(_ result: ProcessExit) { exit.fulfil(result) }
}

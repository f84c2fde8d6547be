public import SystemPackage

/// A process that cannot be mistaken for a later one with the same number.
public struct ProcessIdentity: Sendable, Hashable, Codable {
    public var pid: Int32
    /// Clock ticks from the host's boot to the start of the process: field 22 of /proc/pid/stat (proc(5)).
    public var startTime: UInt64
    /// The host's boot, from /proc/sys/kernel/random/boot_id.
    public var bootID: String
    /// The systemd unit that it is in, if the agent started it so.
    public var unit: String?
    /// Which start of that unit it is: its InvocationID, as hexadecimal digits.
    public var invocation: String?

    public init(
        pid: Int32,
        startTime: UInt64,
        bootID: String,
        unit: String? = nil,
        invocation: String? = nil
    ) {
        self.pid = pid
        self.startTime = startTime
        self.bootID = bootID
        self.unit = unit
        self.invocation = invocation
    }
}

/// How a host process ended.
public enum ProcessExit: Sendable, Hashable, Codable {
    case code(Int)
    case signal(Int)
    /// The kernel ended it, since it needed more memory than its ``ProcessLimits`` allow.
    case outOfMemory
    /// It was not our child (any more), so the kernel does not tell.
    case unknown
}

/// A program to run on the host so that it outlives the agent.
public struct ProcessSpecification: Sendable {
    public var executable: FilePath
    /// Without the program's own name.
    public var arguments: [String]
    /// The whole environment, nothing is inherited.
    public var environment: [String: String]
    public var workingDirectory: FilePath
    /// Receives stdout and stderr; created, appended to, and emptied when it has become large.
    public var outputFile: FilePath
    /// A text that is among `arguments` and in no other process's, to find it after a crash.
    public var mark: String
    /// What it may do of that which only root may; it has no other of the agent's rights, and gains none.
    ///
    /// Those that the agent itself doesn't have it doesn't get.
    public var capabilities: Set<ProcessCapability>
    /// What runs it where systemd does; nil: a child in any case.
    public var unit: ProcessUnit?
    /// What it opens of the agent's files; in a unit it can open no others.
    public var files: [ProcessFile]
    /// In a unit.
    public var limits: ProcessLimits

    public init(
        executable: FilePath,
        arguments: [String],
        environment: [String: String],
        workingDirectory: FilePath,
        outputFile: FilePath,
        mark: String,
        capabilities: Set<ProcessCapability> = [],
        unit: ProcessUnit? = nil,
        files: [ProcessFile] = [],
        limits: ProcessLimits = ProcessLimits()
    ) {
        self.executable = executable
        self.arguments = arguments
        self.environment = environment
        self.workingDirectory = workingDirectory
        self.outputFile = outputFile
        self.mark = mark
        self.capabilities = capabilities
        self.unit = unit
        self.files = files
        self.limits = limits
    }
}

/// Starts VMMs, and what serves them, so that they outlive the agent, and finds them again.
public protocol ProcessSupervisor: Sendable {
    /// Starts a process in a session of its own, with no descriptor of the agent's.
    ///
    /// - Throws: ``AgentError`` `unavailable` if it cannot be executed.
    func start(_ specification: ProcessSpecification) async throws -> any SupervisedProcess

    /// Finds a process that was started before; nil if it is gone.
    func adopt(_ identity: ProcessIdentity) async throws -> (any SupervisedProcess)?

    /// The processes that carry a mark in their arguments.
    func find(mark: String) async throws -> [any SupervisedProcess]
}

/// A process that was started or found by a ``ProcessSupervisor``.
public protocol SupervisedProcess: Sendable {
    var identity: ProcessIdentity { get }
    /// Waits for its end; any number of waiters. Returns early only when cancelled, by throwing.
    func waitForExit() async throws -> ProcessExit
    /// Sends a signal; does nothing after the end, and never reaches another process with the same number.
    func signal(_ number: Int32)
    /// Lets it open further files of the agent's, from now on; those that it may open already are no error.
    ///
    /// - Throws: ``AgentError`` `unavailable` if one is not there, or cannot be handed over.
    func permit(_ files: [ProcessFile]) async throws
    /// Takes files back that it was given at its start or since; what it has open stays so. Those that it does not have are
    /// no error.
    ///
    /// - Throws: ``AgentError`` `unavailable` if one cannot be taken back.
    func forbid(_ files: [ProcessFile]) async throws
    /// Lets it make files for the agent.
    ///
    /// - Parameters:
    ///   - directory: The agent's own, which is there, on the file system of its data.
    ///   - body: Has the process make files in the directory of the path that it is passed, and returns when they are whole.
    ///     That may be another directory than the agent's: what is in it is moved afterwards, and thrown away if `body`
    ///     throws.
    /// - Throws: What `body` throws; ``AgentError`` `unavailable` if what it made cannot be moved, or is anything but files.
    func collect(
        into directory: FilePath,
        _ body: @Sendable (FilePath) async throws -> Void
    ) async throws
}

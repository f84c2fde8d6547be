public import GuestProtocol

/// A conversation with hypeman-init in one guest, from its handshake to the loss of the connection.
///
/// Everything that comes through it was said by the guest, which is hostile: lengths and counts are bounded by the
/// implementation, contents are the caller's to distrust. When the connection is lost every pending call throws
/// ``AgentError`` `unavailable`, and streams end with it.
public protocol GuestChannel: Sendable {
    /// What the guest said of itself.
    var hello: GuestHello { get }

    /// The guest's own reports after number `sequence`, then new ones as they come. Never ends by itself.
    func events(after sequence: Int) -> AsyncThrowingStream<GuestEvent, any Error>

    /// The program's output from a position on, each stretch once and in order; ends when the program has ended and all
    /// was sent. The guest keeps what it has sent until it is told by ``acknowledgeOutput(upTo:)``.
    ///
    /// - Parameter position: The first byte wanted, as in ``GuestOutput/offset``.
    /// - Returns: The stretches; an error ends them when the connection is lost.
    func output(from position: UInt64) -> AsyncThrowingStream<GuestOutput, any Error>

    /// Says that output before `position` is safe on the host and may be forgotten.
    func acknowledgeOutput(upTo position: UInt64) async throws

    /// Says that the program's exit is stored; the guest now powers off.
    func acknowledgeExit() async throws

    /// Sends a signal to the program.
    ///
    /// - Parameter signal: Its number; nil is the program's own stop signal.
    /// - Throws: `invalidState` if the program does not run, `unavailable` if the connection is lost.
    func signalProgram(_ signal: Int?) async throws

    /// Tells a guest that its vCPUs stood still, or that it was taken up from a snapshot: what time it is now, and
    /// other random numbers.
    ///
    /// - Throws: `notSupported` if the guest is too old to know of it, `unavailable` if the connection is lost or what was
    ///   asked could not be done in the guest.
    func wakeUp(_ news: GuestWakeUp) async throws

    /// Mounts a volume whose disk was plugged in; waits until the guest sees it. One that is mounted already is left so.
    ///
    /// - Throws: `notSupported` if the guest is too old to know of it; `invalidState` if the guest could not do it, with
    ///   its reason, and nothing is mounted; `unavailable` if the connection is lost: nobody knows then.
    func mount(_ volume: GuestVolume) async throws

    /// Unmounts a volume, whose disk can be taken out then; one that is not mounted is no error.
    ///
    /// - Throws: As ``mount(_:)``; `invalidState` if somebody in the guest uses it, naming them, and it stays mounted.
    func unmount(_ volume: GuestVolume) async throws

    /// Tells a guest whose memory is a copy of another's who it is from now on. Idempotent.
    ///
    /// - Throws: `notSupported` if the guest is too old to know of it, `unavailable` if the connection is lost or what was
    ///   asked could not be done in the guest: it may be half done then.
    func identify(_ identity: GuestIdentity) async throws

    /// Starts a command.
    ///
    /// - Throws: `unavailable` if the connection is lost, `invalidArgument` if the guest refuses the request,
    ///   `invalidState` if the image's root file system is not in place yet (it is once the program's start is reported).
    ///   A program that cannot be started is no error: it exits with 126 or 127 and a message.
    func exec(_ request: ExecRequest) async throws -> any GuestProcess

    /// A way into the program's stdin and terminal, beside others that there may be.
    ///
    /// - Throws: `invalidState` if the program does not run, or has neither a terminal nor an open stdin; `notSupported`
    ///   if the guest is too old to know of it; `unavailable` if the connection is lost.
    func attach() async throws -> any GuestInput

    /// What is at a path of the guest's; that there is nothing is no error.
    ///
    /// - Throws: ``AgentError`` as ``GuestFilesResult/Failure/error`` says; `notSupported` if the guest is too old to know of
    ///   it, `invalidState` if the image's root file system is not in place yet, `busy` if too much is copied at a time,
    ///   `unavailable` if the connection is lost.
    func status(of request: GuestPathRequest) async throws -> GuestPathStatus

    /// Files of the guest's as a tar archive (PAX, with `SCHILY.xattr` attributes and GNU's sparse format 1.0).
    ///
    /// - Returns: The archive in pieces, and at last that it is whole. The guest reads as fast as pieces are taken, and stops
    ///   when nobody holds the stream.
    /// - Throws: As ``status(of:)``, the stream too.
    func readFiles(_ request: GuestReadRequest) async throws -> AsyncThrowingStream<GuestArchiveEvent, any Error>

    /// Unpacks a tar archive in the guest: ustar, GNU or PAX, sparse files too.
    ///
    /// - Returns: Where to write the archive. Whatever the guest has against it is thrown there.
    /// - Throws: As ``status(of:)``.
    func writeFiles(_ request: GuestWriteRequest) async throws -> any GuestArchiveInput

    /// Ends the connection; commands that run through it are killed by the guest. Idempotent.
    func close() async
}

/// Input for a process in a guest, in the order in which it is given.
public protocol GuestInput: Sendable {
    /// Sends bytes to its stdin; returns when they are on their way and there is room for more.
    ///
    /// - Throws: `invalidState` once stdin was closed here, or the process is known to have ended.
    func write(_ bytes: [UInt8]) async throws
    /// End of file on stdin, for good unless it is a terminal. Idempotent.
    func closeInput() async throws
    /// A new size for its terminal; ignored if it has none.
    func resize(_ size: TerminalSize) async throws
    /// The caller leaves; returns at once. Idempotent.
    ///
    /// That kills a command, and means nothing to an instance's program: its stdin stays open for the next.
    func leave() async
}

/// A process in a guest with its output, its input and its end.
public protocol GuestConversation: GuestInput {
    /// What it writes, to one consumer. After the last output comes its exit, once, and the stream ends.
    var events: AsyncThrowingStream<GuestProcessEvent, any Error> { get }
    /// Sends it a signal.
    func signal(_ number: Int) async throws
}

/// A command in a guest.
///
/// It is killed when this value's connection ends or ``kill()`` is called. The consumer of its events is waited for: a
/// slow one slows the command down. A signal goes to its process group.
public protocol GuestProcess: GuestConversation {
    /// Kills it and what it started; returns at once. Idempotent.
    func kill() async
}

extension GuestProcess {
    /// Nobody waits for a command without its caller.
    public func leave() async { await kill() }
}

/// What a process in a guest reports.
public enum GuestProcessEvent: Sendable, Hashable {
    case output(OutputStream, [UInt8])
    case exited(GuestExit)
}

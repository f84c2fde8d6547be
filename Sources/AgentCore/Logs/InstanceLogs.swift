public import GuestProtocol

public import struct Foundation.Date

/// Who wrote a log line; the names are the wire format of existing clients, `console` added.
public enum LogSource: String, Sendable, Codable, CaseIterable {
    /// The program, stdout and stderr.
    case app
    /// The guest's serial console.
    case console
    /// The VMM itself.
    case vmm
    /// The agent, about this instance.
    case hypeman
}

/// One line of a log.
public struct LogLine: Sendable, Hashable {
    public var time: Date
    public var stream: OutputStream
    /// Without its newline; bytes, since a program may write anything.
    public var bytes: [UInt8]
    /// Whether more of the same line follows: a very long line comes in parts, and so does one without a newline yet.
    public var isPartial: Bool

    public init(time: Date, stream: OutputStream, bytes: [UInt8], isPartial: Bool = false) {
        self.time = time
        self.stream = stream
        self.bytes = bytes
        self.isPartial = isPartial
    }
}

/// Whether the reader of a log waits for more of it, and until when.
public enum LogFollowing: Sendable {
    /// What there is when it is asked for.
    case none
    /// New lines as they come, until the instance is removed.
    case untilRemoved
    /// The same, but only until the function returns: what was written by then is still read, and no more is awaited.
    case until(@Sendable () async -> Void)
}

/// The logs of instances on the host: bounded, rotated, and readable while they are written.
public protocol InstanceLogs: Sendable {
    /// How far the program's output of a boot is on disk: the position that comes next.
    ///
    /// Exact also after `kill -9`: nothing twice, nothing lost. 0 for a boot that is not known yet.
    func outputPosition(of instance: InstanceID, boot: Int) async throws -> UInt64

    /// Writes a stretch of the program's output. A gap before it is written down as a line that says how much was lost;
    /// what lies before ``outputPosition(of:boot:)`` is ignored.
    ///
    /// - Throws: ``AgentError`` `storageFull`; the position then stands where it stood.
    func append(_ output: GuestOutput, at time: Date, to instance: InstanceID, boot: Int) async throws

    /// Writes text of another source; it is split into lines.
    func append(_ bytes: [UInt8], at time: Date, to instance: InstanceID, source: LogSource) async throws

    /// The last `tail` lines (all of them if nil), and then new ones as `follow` says.
    ///
    /// What is written after this has returned is among the new ones. A reader goes at its own pace and holds a bounded
    /// amount of memory; lines that are rotated away before it gets there are missing. Whoever follows is given a line
    /// that has no end yet as far as it has come.
    ///
    /// - Throws: Through the stream, ``AgentError`` `not_found` with code `log_not_found` if nothing was ever written
    ///   and it is not followed.
    func lines(
        of instance: InstanceID,
        source: LogSource,
        tail: Int?,
        follow: LogFollowing
    ) async -> AsyncThrowingStream<LogLine, any Error>

    /// The host bytes that an instance's logs really take.
    func usage(of instance: InstanceID) async throws -> ByteSize

    /// Removes an instance's logs and ends those that follow them. Idempotent.
    func remove(_ instance: InstanceID) async throws
}

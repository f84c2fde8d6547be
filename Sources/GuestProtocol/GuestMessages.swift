/// Versions of what is said over the channel.
public enum GuestProtocolVersion {
    /// What this build speaks.
    public static let current = 1
    /// The oldest that this build still understands.
    public static let oldest = 1
}

/// Abilities of a guest beyond those of its protocol's version, as in ``GuestHello/features``.
public enum GuestFeature {
    /// Input for the program, see `GuestRoute.attach`.
    public static let attach = "attach"
    /// News after a standstill, see `GuestRoute.wakeUp`.
    public static let wakeUp = "wake-up"
    /// Volumes that come and go while it runs, see `GuestRoute.mount`.
    public static let volumes = "volumes"
    /// Another identity for a copy of the guest, see `GuestRoute.identity`.
    public static let identity = "identity"
    /// Files as tar archives, see `GuestRoute.readFiles`.
    public static let files = "files"
    /// Files for another image, see ``GuestReadRequest/asImage``.
    public static let imageFiles = "image-files"

    /// All that a host of this build asks for.
    public static let all: Set<String> = [attach, wakeUp, volumes, identity, files, imageFiles]
}

/// The answer to the host's first request in a session.
public struct GuestHello: Codable, Sendable, Hashable {
    /// The version that the guest speaks.
    public var protocolVersion: Int
    /// The release of hypeman-init.
    public var initVersion: String
    /// Abilities beyond those of the version, by name.
    public var features: [String]
    /// The guest kernel's boot id: another one means that the guest has rebooted.
    public var bootID: String

    public init(protocolVersion: Int, initVersion: String, features: [String], bootID: String) {
        self.protocolVersion = protocolVersion
        self.initVersion = initVersion
        self.features = features
        self.bootID = bootID
    }
}

/// How a process in the guest ended.
public struct GuestExit: Codable, Sendable, Hashable {
    /// The code it gave to exit(2), or 128 + the signal's number as a shell would report it.
    ///
    /// 126 and 127 stand for a program that could not be started, as in POSIX's shell: found but not executable, and
    /// not found.
    public var code: Int
    /// The signal that ended it, if one did.
    public var signal: Int?
    /// The reason in words where the code does not say it (a program that could not be started, out of memory).
    public var message: String?

    public init(code: Int, signal: Int? = nil, message: String? = nil) {
        self.code = code
        self.signal = signal
        self.message = message
    }
}

/// Something that the guest reports by itself, numbered from 1 in each boot.
///
/// The guest keeps every event of the boot (there are few), so that an agent that comes back misses none.
public struct GuestEvent: Codable, Sendable, Hashable {
    /// What happened.
    public enum Kind: Codable, Sendable, Hashable {
        /// The program was started with this process id in the guest.
        case started(pid: Int)
        /// The program ended. Output is complete once the output stream has ended too.
        case exited(GuestExit)
    }

    /// Number in this boot, from 1 without gaps.
    public var sequence: Int
    /// Microseconds since the guest's kernel started.
    public var uptimeMicroseconds: Int
    /// What happened.
    public var kind: Kind

    public init(sequence: Int, uptimeMicroseconds: Int, kind: Kind) {
        self.sequence = sequence
        self.uptimeMicroseconds = uptimeMicroseconds
        self.kind = kind
    }
}

/// A command to run beside the program.
public struct ExecRequest: Codable, Sendable, Hashable {
    /// What to run; `environment` is added to the program's own, an empty `workingDirectory` or `user` means the program's.
    public var program: GuestProgram
    /// A pseudo-terminal as stdin, stdout and stderr; its output comes as stdout.
    public var terminal: TerminalSize?
    /// Whether the host is going to send stdin; otherwise it is /dev/null.
    public var stdin: Bool
    /// Kill the command after this many milliseconds.
    public var timeoutMilliseconds: Int?

    public init(
        program: GuestProgram,
        terminal: TerminalSize? = nil,
        stdin: Bool = false,
        timeoutMilliseconds: Int? = nil
    ) {
        self.program = program
        self.terminal = terminal
        self.stdin = stdin
        self.timeoutMilliseconds = timeoutMilliseconds
    }
}

/// Rows and columns of a terminal.
public struct TerminalSize: Codable, Sendable, Hashable {
    public var rows: Int
    public var columns: Int

    public init(rows: Int, columns: Int) {
        self.rows = rows
        self.columns = columns
    }
}

/// Which of a process's two outputs bytes came from.
public enum OutputStream: String, Codable, Sendable, Hashable, CaseIterable {
    case stdout
    case stderr
}

/// A stretch of the program's output as the guest sends it.
public struct GuestOutput: Sendable, Hashable {
    /// Which of the two.
    public var stream: OutputStream
    /// Position of the first byte, counted over both streams from the start of the boot.
    ///
    /// A jump past the end of the chunk before means that the guest had to drop what lay between.
    public var offset: UInt64
    /// Microseconds since the guest's kernel started, when the bytes were read from the program.
    public var uptimeMicroseconds: UInt64
    /// What the program wrote.
    public var bytes: [UInt8]

    public init(stream: OutputStream, offset: UInt64, uptimeMicroseconds: UInt64, bytes: [UInt8]) {
        self.stream = stream
        self.offset = offset
        self.uptimeMicroseconds = uptimeMicroseconds
        self.bytes = bytes
    }
}

/// What a guest must learn once its vCPUs have stood still, or after it was taken up from a snapshot.
public struct GuestWakeUp: Codable, Sendable, Hashable {
    /// The time now: nanoseconds since 1970-01-01 00:00 UTC.
    public var unixNanoseconds: Int
    /// Random bytes for the kernel's pool, which is seeded anew with them at once: none after a mere pause.
    public var entropy: [UInt8]

    public init(unixNanoseconds: Int, entropy: [UInt8] = []) {
        self.unixNanoseconds = unixNanoseconds
        self.entropy = entropy
    }
}

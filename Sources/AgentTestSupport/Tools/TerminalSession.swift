import AgentCore
import Foundation
import Glibc
public import SystemPackage

/// A program on a terminal of its own, as a person has one: what it writes is waited for, and keys are typed.
///
/// The terminal is the controlling one of the program's session, so that ctrl-C and changes of its size work as they do.
public final class TerminalSession {
    /// A program that is silent for so long has failed.
    private static let patience: Int32 = 120_000
    /// TIOCSPTLCK and TIOCGPTN (ioctl_tty(2)), which are macros that Swift does not see.
    private static let setLock: UInt = 0x4004_5431
    private static let getNumber: UInt = 0x8004_5430

    private let controller: Int32
    private let output: AsyncStream<[UInt8]>
    private let ended: OneShot<End>
    private let process: Process
    private var unseen: [UInt8] = []
    /// All that came so far.
    public private(set) var transcript = ""

    private struct End: Sendable {
        var code: Int32
        var isCooked: Bool
    }

    /// Runs `body` with a program on a terminal, whose end it may leave open: that hangs it up.
    public static func with<T>(
        _ program: FilePath,
        _ arguments: [String],
        environment: [String: String],
        rows: Int = 24,
        columns: Int = 80,
        _ body: (TerminalSession) async throws -> T
    ) async throws -> T {
        let session = try TerminalSession(program, arguments, environment, rows, columns)
        let result: Result<T, any Error>
        do { result = .success(try await body(session)) } catch { result = .failure(error) }
        close(session.controller)
        _ = try await session.ended.wait()
        return try result.get()
    }

    private init(
        _ program: FilePath,
        _ arguments: [String],
        _ environment: [String: String],
        _ rows: Int,
        _ columns: Int
    ) throws {
        let controller = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)
        var locked: Int32 = 0
        var number: UInt32 = 0
        guard controller >= 0, ioctl(controller, Self.setLock, &locked) == 0,
            ioctl(controller, Self.getNumber, &number) == 0
        else { throw Errno(rawValue: errno) }
        let terminal = open("/dev/pts/\(number)", O_RDWR | O_NOCTTY | O_CLOEXEC)
        guard terminal >= 0 else { throw Errno(rawValue: errno) }
        self.controller = controller
        let (output, sink) = AsyncStream.makeStream(of: [UInt8].self)
        self.output = output
        let ended = OneShot<End>()
        self.ended = ended
        process = Process()
        // util-linux: a session of its own, whose controlling terminal is its stdin.
        process.executableURL = URL(fileURLWithPath: "/usr/bin/setsid")
        process.arguments = ["--ctty", "--wait", program.string] + arguments
        process.environment = environment
        let handle = FileHandle(fileDescriptor: terminal)
        process.standardInput = handle
        process.standardOutput = handle
        process.standardError = handle
        process.terminationHandler = { process in
            var mode = termios()
            let isCooked = tcgetattr(terminal, &mode) == 0 && mode.c_lflag & tcflag_t(ICANON | ECHO) != 0
            ended.fulfil(End(code: process.terminationStatus, isCooked: isCooked))
            // The last one that has it open: the output's reader sees its end.
            close(terminal)
        }
        resize(rows: rows, columns: columns)
        try process.run()
        Thread {
            var buffer = [UInt8](repeating: 0, count: 4096)
            while true {
                var ready = pollfd(fd: controller, events: Int16(POLLIN), revents: 0)
                guard poll(&ready, 1, Self.patience) > 0 else { break }
                let count = read(controller, &buffer, buffer.count)
                guard count > 0 else { break }
                sink.yield(Array(buffer.prefix(count)))
            }
            sink.finish()
        }.start()
    }

    /// Types.
    public func type(_ keys: String) throws {
        let bytes = Array(keys.utf8)
        guard write(controller, bytes, bytes.count) == bytes.count else { throw Errno(rawValue: errno) }
    }

    /// Changes the terminal's size, as a window does.
    public func resize(rows: Int, columns: Int) {
        var size = winsize()
        size.ws_row = UInt16(rows)
        size.ws_col = UInt16(columns)
        _ = ioctl(controller, UInt(TIOCSWINSZ), &size)
    }

    /// Waits until the program has written this, after what was waited for before.
    ///
    /// - Throws: ``ToolFailure`` if it ends, or is silent for two minutes, without it.
    public func expect(_ text: String) async throws {
        let wanted = Array(text.utf8)
        var chunks = output.makeAsyncIterator()
        while true {
            if let start = unseen.firstRange(of: wanted) {
                unseen.removeSubrange(..<start.upperBound)
                return
            }
            guard let chunk = await chunks.next() else {
                throw ToolFailure(description: "'\(text)' did not come after: \(transcript)")
            }
            unseen += chunk
            transcript += String(decoding: chunk, as: UTF8.self)
        }
    }

    /// Waits for the program's end.
    ///
    /// - Returns: Its exit code, and whether it left the terminal as a shell wants it.
    public func end() async throws -> (code: Int, isCooked: Bool) {
        let end = try await ended.wait()
        return (Int(end.code), end.isCooked)
    }
}

import Foundation

/// The terminal's raw mode, which is undone however the program ends: at its exit, by a signal, or in a crash.
enum TerminalMode {
    /// The mode to go back to.
    ///
    /// Written before the handlers that read it are installed, and by one thread only.
    nonisolated(unsafe) private static var saved: termios?
    nonisolated(unsafe) private static var descriptor: Int32 = -1

    /// What ends a process unless handled, and is not turned into a message elsewhere; signal(7).
    private static let fatal = [SIGHUP, SIGQUIT, SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS]

    /// Calls `use` with the terminal raw.
    static func withRaw<Result>(_ descriptor: Int32, _ use: () async throws -> Result) async throws -> Result {
        try enter(descriptor)
        do {
            let result = try await use()
            restore()
            return result
        } catch {
            restore()
            throw error
        }
    }

    /// Makes the terminal raw.
    static func enter(_ descriptor: Int32) throws {
        var mode = termios()
        guard tcgetattr(descriptor, &mode) == 0 else {
            throw CommandError("the terminal's mode cannot be read: \(String(cString: strerror(errno)))")
        }
        self.descriptor = descriptor
        saved = mode
        atexit { TerminalMode.restore() }
        for number in fatal {
            signal(number) { number in
                TerminalMode.restore()
                signal(number, SIG_DFL)
                raise(number)
            }
        }
        cfmakeraw(&mode)
        guard tcsetattr(descriptor, TCSADRAIN, &mode) == 0 else {
            throw CommandError("the terminal cannot be made raw: \(String(cString: strerror(errno)))")
        }
    }

    /// Undoes ``enter(_:)``; any number of times, also from a signal handler (tcsetattr is async-signal-safe, POSIX 2.4.3).
    static func restore() {
        guard var mode = saved else { return }
        tcsetattr(descriptor, TCSANOW, &mode)
    }

    /// Rows and columns; nil where there is no terminal.
    static func size(_ descriptor: Int32) -> (rows: Int, columns: Int)? {
        var size = winsize()
        guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_row > 0, size.ws_col > 0 else { return nil }
        return (Int(size.ws_row), Int(size.ws_col))
    }
}

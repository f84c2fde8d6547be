import CInit
import Glibc
import GuestProtocol

/// Both ends of a new pseudo-terminal (pty(7)), which whoever makes it must close.
struct PseudoTerminal {
    /// The end to read output from and write input to.
    let controller: Int32
    /// The end that the program has.
    let terminal: Int32

    /// Opens one for a program that runs as `owner`.
    init(size: TerminalSize, owner: uid_t) throws(LaunchFailure) {
        var controller: Int32 = -1
        var terminal: Int32 = -1
        let result = hypeman_open_terminal(&controller, &terminal)
        guard result == 0 else {
            throw LaunchFailure(code: 126, message: "no terminal to be had: \(String(cString: strerror(-result)))")
        }
        self.controller = controller
        self.terminal = terminal
        PseudoTerminal.resize(terminal, to: size)
        fchown(terminal, owner, gid_t.max)
    }

    /// Sets the size at either end; the processes in the terminal's foreground are told with SIGWINCH.
    static func resize(_ descriptor: Int32, to size: TerminalSize) {
        hypeman_set_window_size(descriptor, UInt16(clamping: size.rows), UInt16(clamping: size.columns))
    }
}

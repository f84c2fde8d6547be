import Glibc
import GuestProtocol
import NIOCore

/// The program's stdin and the size of its terminal, for whoever is attached.
///
/// It belongs to the program: those who are attached come and go. Used on the event loop only.
final class ProgramInput {
    /// Bytes that the program has not yet taken, before those who are attached are made to wait.
    private static let limit = 256 << 10

    private var writer: InputWriter?
    private let isTerminal: Bool
    /// The program's end of the terminal.
    ///
    /// It is kept open as long as the program runs: a program that closes its own, to open it again later, would
    /// otherwise leave the other end at its end of file.
    private var terminal: Int32?
    private var attached: [ObjectIdentifier: AgentStream] = [:]
    private var isFull = false

    /// Takes over both descriptors.
    ///
    /// - Parameters:
    ///   - input: Where input is written to; nil if the program takes none.
    ///   - terminal: The program's end of its terminal, if it has one.
    ///   - eventLoop: Where all of this is used.
    init(input: Int32?, terminal: Int32?, on eventLoop: any EventLoop) {
        self.terminal = terminal
        isTerminal = terminal != nil
        guard let input else { return }
        let writer = InputWriter(isTerminal: isTerminal) { [weak self] waiting in
            guard let self else { return }
            isFull = waiting >= ProgramInput.limit
            for stream in attached.values { hold(stream) }
        }
        self.writer = writer
        writer.start(input, on: eventLoop)
    }

    /// Makes a stream of the host's one of those whose frames go to the program.
    func attach(_ stream: AgentStream) {
        attached[ObjectIdentifier(stream)] = stream
        hold(stream)
    }

    /// The stream is gone; the program's stdin stays as it is.
    func detach(_ stream: AgentStream) {
        attached[ObjectIdentifier(stream)] = nil
    }

    /// Takes what the host sends.
    func receive(_ frame: GuestFrame) {
        switch frame.kind {
        case .stdin: writer?.write(frame.payload)
        case .stdinEnd: endInput()
        case .resize:
            guard let terminal, let size = try? GuestJSON.decode(TerminalSize.self, from: frame.payload) else { return }
            PseudoTerminal.resize(terminal, to: size)
        default: break
        }
    }

    /// The program has ended.
    func end() {
        writer?.abandon()
        writer = nil
        let streams = attached.values
        attached = [:]
        for stream in streams { stream.finish() }
    }

    /// The program's output has been read to its end.
    func closeTerminal() {
        if let terminal { close(terminal) }
        terminal = nil
    }

    /// End of file.
    ///
    /// A terminal has none that lasts: its line discipline makes one of a Control-D (termios(3)), and goes on.
    private func endInput() {
        if isTerminal { writer?.write([0x04]) } else { writer?.finish() }
    }

    private func hold(_ stream: AgentStream) {
        if isFull { stream.pauseInput() } else { stream.resumeInput() }
    }
}

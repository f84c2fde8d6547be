import Dispatch
import Glibc
import Logging
import SystemPackage

/// Tells systemd how the service is (sd_notify(3)); does nothing where nobody asked for it.
///
/// Everything goes out in the order in which it was said, from a queue of its own: a manager that is behind keeps nobody
/// waiting.
final class ServiceNotifier: Sendable {
    /// What can be said.
    enum Message: Sendable, Hashable {
        case ready(status: String)
        /// A configuration is being read; ``ready(status:)`` ends it.
        case reloading
        case stopping
        /// For people: `systemctl status` shows it.
        case status(String)
        case watchdog
    }

    private let socket: DatagramSocket?
    private let queue = DispatchQueue(label: "hypeman.notify")
    private let logger: Logger

    /// Prepares to tell whoever listens at `path`; nil tells nobody.
    init(path: String?, logger: Logger) {
        self.logger = logger
        do {
            socket = try path.map(DatagramSocket.init(to:))
        } catch {
            logger.error(
                "systemd cannot be told of the agent",
                metadata: ["socket": "\(path ?? "")", "error": "\(error)"]
            )
            socket = nil
        }
    }

    /// Says something, at once or when what was said before has gone out.
    func notify(_ message: Message) {
        guard let socket else { return }
        queue.async { [logger] in
            do {
                try socket.send(Self.text(of: message).utf8, waits: true)
            } catch {
                logger.error("systemd was not told", metadata: ["message": "\(message)", "error": "\(error)"])
            }
        }
    }

    /// Returns when everything has gone out: at the end, before the process ends.
    func flush() async {
        await withCheckedContinuation { continuation in queue.async { continuation.resume() } }
    }

    /// The lines of a message.
    static func text(of message: Message) -> String {
        switch message {
        case .ready(let status): "READY=1\nMAINPID=\(getpid())\nSTATUS=\(line(status))"
        // The time by which systemd tells this reload from one before (sd_notify(3)).
        // Dispatch counts by CLOCK_MONOTONIC, as that asks for.
        case .reloading: "RELOADING=1\nMONOTONIC_USEC=\(DispatchTime.now().uptimeNanoseconds / 1000)"
        case .stopping: "STOPPING=1\nSTATUS=Ending; VMs run on"
        case .status(let status): "STATUS=\(line(status))"
        case .watchdog: "WATCHDOG=1"
        }
    }

    /// A line ends at the first newline, and what follows would be another message.
    private static func line(_ text: String) -> String {
        String(text.replacing("\n", with: " ").prefix(500))
    }
}

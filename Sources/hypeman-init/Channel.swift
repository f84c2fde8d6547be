import CInit
import Glibc
import GuestAgent
import GuestProtocol
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix

/// The agent with its event loop and the channel's port.
struct Channel {
    /// The name of the channel's virtio-serial port.
    private static let portName = "org.hypeman.channel"

    let agent: GuestAgent
    /// Raised while there is no session.
    private let idle = Signal(isRaised: true)

    /// Starts the agent's thread and begins to listen to the host.
    init(_ configuration: GuestConfiguration) throws(BootFailure) {
        let path = try Devices.port(named: Channel.portName)
        let port = hypeman_open(path, O_RDWR | O_NONBLOCK)
        try BootFailure.check(port, "cannot open the channel's port \(path)")
        let agent = GuestAgent(
            configuration: configuration,
            eventLoop: MultiThreadedEventLoopGroup(numberOfThreads: 1).next(),
            awakening: .kernel,
            volumes: .kernel
        )
        let idle = idle
        self.agent = agent
        PortPump(
            port: port,
            secret: configuration.session,
            onSession: {
                idle.lower()
                agent.serve($0)
            },
            onSessionEnd: { idle.raise() }
        ).start()
    }

    /// Ends the host's connection, so that what was last said to it arrives.
    ///
    /// Blocks for `milliseconds` at most.
    func close(within milliseconds: Int) {
        agent.disconnect().whenSuccess {}
        idle.wait(milliseconds: milliseconds)
    }

    /// Blocks until the host has stored the program's exit, or the time is over.
    func waitForAcknowledgement(milliseconds: Int) {
        let acknowledged = Signal()
        agent.exitAcknowledged.whenSuccess { acknowledged.raise() }
        acknowledged.wait(milliseconds: milliseconds)
    }
}

/// Something that one thread waits for and another brings about.
final class Signal: Sendable {
    private let lock: ConditionLock<Bool>

    init(isRaised: Bool = false) {
        lock = ConditionLock(value: isRaised)
    }

    func raise() { set(true) }

    func lower() { set(false) }

    /// Takes the lock itself, which is not recursive.
    var isRaised: Bool { lock.value }

    func wait(milliseconds: Int) {
        if lock.lock(whenValue: true, timeoutSeconds: Double(milliseconds) / 1000) { lock.unlock() }
    }

    private func set(_ value: Bool) {
        lock.lock()
        lock.unlock(withValue: value)
    }
}

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
    private let device: Devices.ChannelDevice
    private let descriptor: Int32
    private let secret: String
    /// Raised while there is no session.
    private let idle = Signal(isRaised: true)

    /// What carries it here; its modules may have to be loaded first.
    static func device() throws(BootFailure) -> Devices.ChannelDevice {
        try Devices.channel(portNamed: portName)
    }

    /// Opens the device and starts the agent's thread; the host is not answered before ``listen()``.
    init(_ configuration: GuestConfiguration, over device: Devices.ChannelDevice) throws(BootFailure) {
        switch device {
        case .port(let path):
            descriptor = hypeman_open(path, O_RDWR | O_NONBLOCK)
            try BootFailure.check(descriptor, "cannot open the channel's port \(path)")
        case .vsock:
            descriptor = hypeman_vsock_listen(GuestVsock.port)
            try BootFailure.check(descriptor, "cannot listen on the port \(GuestVsock.port) of the vsock")
        }
        self.device = device
        secret = configuration.session
        agent = GuestAgent(
            configuration: configuration,
            eventLoop: MultiThreadedEventLoopGroup(numberOfThreads: 1).next(),
            awakening: .kernel,
            volumes: .kernel,
            renaming: .kernel,
            powerOff: {
                sync()
                hypeman_power_off()
            }
        )
    }

    /// Begins to answer the host, in a thread of its own; call it once.
    ///
    /// What the host wrote before waits in the port or in the socket's queue.
    func listen() {
        let agent = agent
        let idle = idle
        // Over a vsock one session may begin before the one before has ended.
        let sessions = NIOLockedValueBox(0)
        let onSession: @Sendable (Int32) -> Void = { socket in
            sessions.withLockedValue { $0 += 1 }
            idle.lower()
            agent.serve(socket)
        }
        let onSessionEnd: @Sendable () -> Void = {
            let left = sessions.withLockedValue { count in
                count -= 1
                return count
            }
            if left == 0 { idle.raise() }
        }
        switch device {
        case .port:
            PortPump(port: descriptor, secret: secret, onSession: onSession, onSessionEnd: onSessionEnd).start()
        case .vsock:
            VsockListener(
                listener: descriptor,
                secret: secret,
                onSession: onSession,
                onSessionEnd: onSessionEnd
            ).start()
        }
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

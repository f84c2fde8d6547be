import AgentCore
import CLinux
import Foundation
import NIOCore
import NIOPosix
import SystemPackage

/// A conversation with one QEMU over its QMP socket.
///
/// Commands may be sent at the same time; answers are matched by id. When the connection ends, for whatever reason, all
/// that is pending fails at once. QEMU serves one client a socket: a second one waits for its greeting.
final class QMPClient: Sendable {
    /// QEMU's version, as its greeting says.
    let version: String
    private let channel: any Channel
    private let handler: NIOLoopBound<QMPHandler>
    private let socket: SocketCopy
    private let instance: InstanceID

    private init(
        version: String,
        channel: any Channel,
        handler: NIOLoopBound<QMPHandler>,
        socket: SocketCopy,
        instance: InstanceID
    ) {
        self.version = version
        self.channel = channel
        self.handler = handler
        self.socket = socket
        self.instance = instance
    }

    /// Connects, reads the greeting and leaves the negotiation mode.
    ///
    /// - Parameters:
    ///   - socket: QEMU's.
    ///   - instance: For messages.
    ///   - group: Where its event loop comes from.
    ///   - deadline: For all of it.
    ///   - onEvent: Called on the event loop for each event, in order; must not block.
    /// - Returns: A client that takes commands.
    /// - Throws: `IOError` if the socket cannot be connected to; ``AgentError`` `timeout` if nothing answers,
    ///   `unavailable` if the peer closes or is no QEMU.
    static func connect(
        to socket: FilePath,
        instance: InstanceID,
        on group: any EventLoopGroup,
        deadline: Duration = .seconds(10),
        onEvent: @escaping @Sendable (QMPEvent) -> Void
    ) async throws -> QMPClient {
        let loop = group.next()
        let greeting = loop.makePromise(of: String.self)
        let handler = try await loop.submit {
            NIOLoopBound(QMPHandler(greeting: greeting, instance: instance, onEvent: onEvent), eventLoop: loop)
        }.get()
        let channel: any Channel
        let copy: SocketCopy
        do {
            // A socket of our own making: a file's descriptor can be sent over a copy of it, which NIO cannot do.
            let descriptor = clinux_connect_unix(socket.string)
            guard descriptor >= 0 else { throw IOError(errnoCode: errno, reason: "connect to \(socket)") }
            copy = SocketCopy(of: descriptor)
            channel = try await ClientBootstrap(group: loop)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        let sync = channel.pipeline.syncOperations
                        try sync.addHandler(ByteToMessageHandler(QMPLineDecoder()))
                        try sync.addHandler(handler.value)
                    }
                }
                .withConnectedSocket(descriptor)
                .get()
        } catch {
            greeting.fail(error)
            throw error
        }
        do {
            let version = try await withTimer(deadline, on: channel, greeting, "the greeting", instance)
            let client = QMPClient(
                version: version,
                channel: channel,
                handler: handler,
                socket: copy,
                instance: instance
            )
            try await client.execute("qmp_capabilities", deadline: deadline)
            return client
        } catch {
            channel.close(promise: nil)
            throw error
        }
    }

    /// Sends a command without arguments whose reply says nothing.
    func execute(_ command: String, deadline: Duration = .seconds(10)) async throws {
        _ = try await execute(command, QMPNothing?.none, returning: Ignored.self, deadline: deadline)
    }

    /// Gives QEMU a file that is open here, under a name that a later command takes it by (`getfd`).
    ///
    /// - Throws: As ``execute(_:_:returning:deadline:)``.
    func give(_ file: SystemPackage.FileDescriptor, as name: String) async throws {
        _ = try await execute(
            "getfd",
            ["fdname": name],
            returning: Ignored.self,
            with: file
        )
    }

    /// Sends a command with arguments whose reply says nothing.
    func execute<Arguments: Encodable & Sendable>(
        _ command: String,
        _ arguments: Arguments,
        deadline: Duration = .seconds(10)
    ) async throws {
        _ = try await execute(command, arguments, returning: Ignored.self, deadline: deadline)
    }

    /// Sends a command.
    ///
    /// - Parameters:
    ///   - command: Its name.
    ///   - arguments: What it takes.
    ///   - returning: The type of the reply's value.
    ///   - file: A file that goes with it; it must stay open until this returns.
    ///   - deadline: For the reply.
    /// - Returns: The reply's value.
    /// - Throws: ``AgentError`` `timeout` when QEMU doesn't answer in time, `unavailable` when the connection is lost,
    ///   `invalidState` with QEMU's own words when it refuses.
    func execute<Arguments: Encodable & Sendable, Value: Decodable & Sendable>(
        _ command: String,
        _ arguments: Arguments?,
        returning: Value.Type,
        with file: SystemPackage.FileDescriptor? = nil,
        deadline: Duration = .seconds(10)
    ) async throws -> Value {
        let promise = channel.eventLoop.makePromise(of: ByteBuffer.self)
        let handler = handler
        let instance = instance
        let loop = channel.eventLoop
        let socket = socket
        loop.execute {
            let carrier = file.map { file in { (bytes: Data) throws in try socket.send(bytes, with: file) } }
            let id = handler.value.send(promise, by: carrier) { id in
                try JSONEncoder().encode(QMPCommand(execute: command, arguments: arguments, id: id))
            }
            let timer = loop.scheduleTask(in: TimeAmount(deadline)) {
                handler.value.giveUp(id, Self.timeout(command, deadline, instance))
            }
            promise.futureResult.whenComplete { _ in
                timer.cancel()
                handler.value.giveUp(id, CancellationError())
            }
        }
        let line: ByteBuffer
        do {
            line = try await withTaskCancellationHandler {
                try await promise.futureResult.get()
            } onCancel: {
                promise.fail(CancellationError())
            }
        } catch let failure as QMPFailure {
            throw AgentError(
                .invalidState,
                code: "vmm_refused",
                "QEMU of instance \(instance) refuses \(command)",
                cause: failure
            )
        }
        do {
            return try JSONDecoder().decode(QMPReply<Value>.self, from: Data(line.readableBytesView)).return
        } catch {
            throw AgentError(
                .unavailable,
                "QEMU of instance \(instance) answers \(command) with something else",
                cause: error
            )
        }
    }

    /// Ends the connection; QEMU goes on.
    func close() {
        channel.close(promise: nil)
    }

    /// Returns when QEMU has closed the connection and all its events were seen, or after `deadline`.
    func drain(within deadline: TimeAmount) async {
        await channel.waitForClose(within: deadline)
    }

    /// The value of any reply that is not looked at.
    private struct Ignored: Decodable, Sendable {
        init(from decoder: any Decoder) {}
    }

    private static func timeout(_ what: String, _ deadline: Duration, _ instance: InstanceID) -> AgentError {
        AgentError(.timeout, code: "vmm_timeout", "QEMU of instance \(instance) did not answer \(what) in \(deadline)")
    }

    private static func withTimer(
        _ deadline: Duration,
        on channel: any Channel,
        _ promise: EventLoopPromise<String>,
        _ what: String,
        _ instance: InstanceID
    ) async throws -> String {
        let timer = channel.eventLoop.scheduleTask(in: TimeAmount(deadline)) {
            promise.fail(timeout(what, deadline, instance))
        }
        defer { timer.cancel() }
        return try await withTaskCancellationHandler {
            try await promise.futureResult.get()
        } onCancel: {
            promise.fail(CancellationError())
        }
    }
}

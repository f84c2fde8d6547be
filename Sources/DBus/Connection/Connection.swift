import CDBus
public import Logging

/// A connection to a message bus that exports objects and calls others'.
///
/// The actor runs on a thread of its own, together with libdbus's input and output; handlers of exported methods run in tasks
/// of their own and never block it. What is exported, owned and listened for is there again after the bus went away and came
/// back; calls of the time before are answered by nobody then.
public actor Connection {
    static let busName = "org.freedesktop.DBus"
    static let busPath = ObjectPath(trusted: "/org/freedesktop/DBus")

    /// One life of the connection.
    struct Link {
        let raw: OpaquePointer
        /// Rises with each; what belongs to an older one is dead.
        let generation: Int
        /// Ends with it.
        let life: AsyncStream<Never>.Continuation
        let end: AsyncStream<Never>
        var uniqueName: String?
        /// It has its names and hears its signals.
        var isSetUp = false
    }

    private let loop = Loop()
    private let address: BusAddress
    let limits: ConnectionLimits
    let authorizer: any CallAuthorizer
    let logger: Logger

    private(set) var link: Link?
    private var generations = 0
    private var isClosed = false
    var tree = ObjectTree()
    /// Names to own.
    var names: [String] = []
    var incoming = IncomingCalls()
    var pending: [UInt32: PendingCall] = [:]
    var subscriptions: [Int: Subscription] = [:]
    var nextSubscription = 0
    var callers = KnownCallers()

    public nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    /// One that is not connected yet.
    ///
    /// - Parameters:
    ///   - address: Of the bus.
    ///   - limits: What others can make it hold.
    ///   - authorizer: Decides who may call what is exported.
    ///   - logger: Is told of connections that are lost.
    public init(
        address: BusAddress,
        limits: ConnectionLimits = ConnectionLimits(),
        authorizer: any CallAuthorizer = OpenToAll(),
        logger: Logger
    ) {
        self.address = address
        self.limits = limits
        self.authorizer = authorizer
        self.logger = logger
    }

    /// The name that the bus gave this connection; nil while there is none.
    public var uniqueName: String? { link?.uniqueName }

    // MARK: Life

    /// Connects, and gets from the bus what is to be there: names and signals.
    ///
    /// Not to be called beside ``run(retryAfter:onOpen:)``.
    ///
    /// - Throws: ``DBusError`` if the bus cannot be reached, does not let this user in, or refuses a name.
    public func open() async throws {
        guard !isClosed else { throw DBusError.standard(.disconnected, "the connection was closed") }
        guard link == nil else { return }
        // Connects to a unix socket, which does not wait; the authentication is the loop's.
        let raw = try Self.throwing { dbus_connection_open_private(address.description, $0) }
        guard let raw else { throw DBusError.standard(.failed, "out of memory") }
        dbus_connection_set_exit_on_disconnect(raw, 0)
        generations += 1
        let generation = generations
        let (end, life) = AsyncStream.makeStream(of: Never.self)
        link = Link(raw: raw, generation: generation, life: life, end: end)
        loop.attach(raw) { [weak self] message in
            guard let self else { return DBUS_HANDLER_RESULT_NOT_YET_HANDLED }
            // libdbus calls back from dispatch, which only the loop runs; the pointer is not used beyond this call.
            let message = UInt(bitPattern: message)
            return assumeIsolated { connection in
                guard let message = OpaquePointer(bitPattern: message) else {
                    return DBUS_HANDLER_RESULT_NOT_YET_HANDLED
                }
                return connection.received(message)
            }
        }
        do {
            guard case .string(let name)? = try await callBus("Hello").first else {
                throw DBusError.standard(.failed, "the bus does not answer as a bus does")
            }
            link?.uniqueName = name
            try await establish()
            link?.isSetUp = true
        } catch {
            lose(generation, "it could not be set up")
            throw error
        }
    }

    /// Connects again and again until it is cancelled, and closes the connection then.
    ///
    /// - Parameters:
    ///   - delays: The first and the longest wait before the next try; it doubles from one to the other.
    ///   - failureLevel: How loud it is said that there is no way to the bus.
    ///   - onOpen: Is called after each time it was connected.
    public func run(
        retryAfter delays: ClosedRange<Duration> = .milliseconds(100) ... .seconds(10),
        failureLevel: Logger.Level = .warning,
        onOpen: @Sendable () async -> Void = {}
    ) async {
        var delay = delays.lowerBound
        var lastFailure: String?
        while !Task.isCancelled, !isClosed {
            do {
                try await open()
                logger.info("on the bus", metadata: ["bus": "\(address)", "name": "\(uniqueName ?? "-")"])
                (delay, lastFailure) = (delays.lowerBound, nil)
                await onOpen()
                await waitUntilLost()
            } catch {
                // The same failure is said once, not with each try.
                if !Task.isCancelled, lastFailure != "\(error)" {
                    lastFailure = "\(error)"
                    logger.log(
                        level: failureLevel,
                        "cannot be on the bus; tried again",
                        metadata: ["bus": "\(address)", "error": "\(error)"]
                    )
                }
            }
            guard !Task.isCancelled, (try? await Task.sleep(for: delay)) != nil else { break }
            delay = min(delay * 2, delays.upperBound)
        }
        await close()
    }

    /// Returns when the connection that there is now is lost, or the caller is cancelled.
    public func waitUntilLost() async {
        guard let end = link?.end else { return }
        for await _ in end {}
    }

    /// Gives the bus a moment to take what was sent, and closes the connection for good.
    public func close() async {
        guard !isClosed else { return }
        isClosed = true
        incoming.cancelAll()
        let deadline = ContinuousClock.now + .seconds(1)
        while let link, dbus_connection_has_messages_to_send(link.raw) != 0, ContinuousClock.now < deadline {
            // The bus reads; that it does not say so is libdbus's. Not cancelled with the caller: a last answer is worth it.
            await Task { try? await Task.sleep(for: .milliseconds(5)) }.value
        }
        if let link { lose(link.generation, "it was closed") }
        for subscription in subscriptions.values { subscription.continuation.finish() }
        subscriptions = [:]
    }

    /// Lets go of a connection, if it is the present one; everything that waits for it fails.
    func lose(_ generation: Int, _ reason: String) {
        guard let link, link.generation == generation else { return }
        self.link = nil
        loop.detach(link.raw)
        // Who was never on it learns of that by an error.
        if !isClosed, link.isSetUp {
            logger.notice("off the bus", metadata: ["bus": "\(address)", "reason": "\(reason)"])
        }
        let error = DBusError.standard(.disconnected, "the connection to the bus was lost: \(reason)")
        let waiting = pending.values
        pending = [:]
        for call in waiting { call.finish(.failure(error)) }
        callers.removeAll()
        link.life.finish()
    }

    /// Asks the bus for everything that this connection wants of it.
    private func establish() async throws {
        // Callers that vanish take their credentials and what they hold with them.
        try await addMatch("type='signal',sender='\(Self.busName)',member='NameOwnerChanged',arg2=''")
        for id in subscriptions.keys.sorted() { try await subscribe(id) }
        for name in names { try await requestName(name) }
    }

    // MARK: Receiving

    private func received(_ message: OpaquePointer) -> DBusHandlerResult {
        switch dbus_message_get_type(message) {
        case DBUS_MESSAGE_TYPE_METHOD_CALL: receiveCall(message)
        case DBUS_MESSAGE_TYPE_METHOD_RETURN, DBUS_MESSAGE_TYPE_ERROR: receiveReply(message)
        case DBUS_MESSAGE_TYPE_SIGNAL: receiveSignal(message)
        default: break
        }
        return DBUS_HANDLER_RESULT_HANDLED
    }

    // MARK: Sending

    /// Sends a message that `make` makes, with its arguments.
    ///
    /// - Returns: Its serial.
    /// - Throws: `InvalidArgs` for arguments that cannot be sent, `Disconnected`.
    @discardableResult
    func send(_ arguments: [Value], make: () -> OpaquePointer?) throws(DBusError) -> UInt32 {
        guard let link else { throw .standard(.disconnected, "there is no connection to the bus") }
        guard let message = make() else { throw .standard(.failed, "out of memory") }
        defer { dbus_message_unref(message) }
        try MessageWriter.append(arguments, to: message)
        guard dbus_connection_get_outgoing_size(link.raw) <= limits.outgoingBytes else {
            // A signal that is left out would leave peers with something untrue; a connection that ends tells them.
            lose(link.generation, "the bus does not take what is sent")
            throw .standard(.disconnected, "the bus does not take what is sent")
        }
        var serial: UInt32 = 0
        guard dbus_connection_send(link.raw, message, &serial) != 0 else {
            throw .standard(.failed, "out of memory")
        }
        return serial
    }

    /// Runs `body` with an error of libdbus's, and throws what it reports.
    private static func throwing<Value>(
        _ body: (UnsafeMutablePointer<CDBus.DBusError>) -> Value
    ) throws(DBusError) -> Value {
        var error = CDBus.DBusError()
        dbus_error_init(&error)
        defer { dbus_error_free(&error) }
        let result = body(&error)
        guard dbus_error_is_set(&error) == 0 else {
            throw DBusError(name: String(cString: error.name), message: String(cString: error.message))
        }
        return result
    }
}

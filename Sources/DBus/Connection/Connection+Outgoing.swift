import CDBus

/// A call that waits for its reply.
struct PendingCall {
    let continuation: CheckedContinuation<[Value], any Error>
    let timer: Task<Void, Never>

    func finish(_ result: Result<[Value], DBusError>) {
        timer.cancel()
        continuation.resume(with: result.mapError { $0 as any Error })
    }
}

extension Connection {
    /// Calls a method of a peer.
    ///
    /// - Parameters:
    ///   - member: The method.
    ///   - interface: Its interface.
    ///   - path: The object.
    ///   - destination: Whose object it is.
    ///   - arguments: What it is given.
    ///   - allowsInteraction: Whether the peer may have a user asked for a password.
    ///   - timeout: How long to wait.
    /// - Returns: The reply's arguments.
    /// - Throws: The peer's error; `NoReply` after the timeout, `Disconnected`, `InvalidArgs` for what cannot be sent,
    ///   `CancellationError`.
    @discardableResult
    public func call(
        _ member: String,
        of interface: String,
        at path: ObjectPath,
        _ destination: String,
        _ arguments: [Value] = [],
        allowsInteraction: Bool = false,
        timeout: Duration = .seconds(25)
    ) async throws -> [Value] {
        try Self.checkNames(member: member, interface: interface, destination: destination)
        guard pending.count < limits.outgoingCalls else {
            throw DBusError.standard(.limitsExceeded, "\(limits.outgoingCalls) calls wait for replies already")
        }
        let serial = try send(arguments) {
            let message = dbus_message_new_method_call(destination, path.description, interface, member)
            if let message {
                // What is not there is not started: whoever asks for that knows its name only.
                dbus_message_set_auto_start(message, 1)
                dbus_message_set_allow_interactive_authorization(message, allowsInteraction ? 1 : 0)
            }
            return message
        }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let timer = Task { [weak self] in
                    guard (try? await Task.sleep(for: timeout)) != nil else { return }
                    await self?.expire(serial, "\(destination) did not answer \(member) within \(timeout)")
                }
                pending[serial] = PendingCall(continuation: continuation, timer: timer)
            }
        } onCancel: {
            // Runs after the above, since that does not leave the actor before the call is among those pending.
            Task { await self.cancel(serial) }
        }
    }

    /// Calls the bus itself.
    func callBus(_ member: String, _ arguments: [Value] = []) async throws -> [Value] {
        try await call(member, of: Self.busName, at: Self.busPath, Self.busName, arguments)
    }

    /// The value of a peer's property.
    ///
    /// - Throws: As ``call(_:of:at:_:_:allowsInteraction:timeout:)``.
    public func property(
        _ name: String,
        of interface: String,
        at path: ObjectPath,
        _ destination: String
    ) async throws -> Value {
        let reply = try await call(
            "Get",
            of: "org.freedesktop.DBus.Properties",
            at: path,
            destination,
            [.string(interface), .string(name)]
        )
        guard reply.count == 1, case .variant(let value) = reply[0] else {
            throw DBusError.standard(.failed, "\(destination) answers Get with something else than a value")
        }
        return value
    }

    private func expire(_ serial: UInt32, _ message: String) {
        pending.removeValue(forKey: serial)?.finish(.failure(.standard(.noReply, message)))
    }

    private func cancel(_ serial: UInt32) {
        guard let call = pending.removeValue(forKey: serial) else { return }
        call.timer.cancel()
        call.continuation.resume(throwing: CancellationError())
    }

    /// A reply that nobody waits for any more is nobody's.
    func receiveReply(_ message: OpaquePointer) {
        guard let call = pending.removeValue(forKey: dbus_message_get_reply_serial(message)) else { return }
        var reader = MessageReader(limits.replies)
        do {
            let arguments = try reader.arguments(of: message)
            guard dbus_message_get_type(message) == DBUS_MESSAGE_TYPE_ERROR else {
                call.finish(.success(arguments))
                return
            }
            let name = dbus_message_get_error_name(message).map { String(cString: $0) } ?? "-"
            var text = ""
            if case .string(let first)? = arguments.first { text = first }
            call.finish(.failure(DBusError(name: name, message: text)))
        } catch {
            call.finish(.failure(error))
        }
    }

    /// libdbus aborts the process on names that are not valid.
    static func checkNames(member: String, interface: String, destination: String?) throws(DBusError) {
        for text in [member, interface, destination ?? ""] where text.utf8.contains(0) {
            throw .standard(.invalidArguments, "a name contains NUL")
        }
        guard dbus_validate_member(member, nil) != 0 else {
            throw .standard(.invalidArguments, "'\(member.prefix(100))' is not a member's name")
        }
        guard dbus_validate_interface(interface, nil) != 0 else {
            throw .standard(.invalidArguments, "'\(interface.prefix(100))' is not an interface's name")
        }
        if let destination, dbus_validate_bus_name(destination, nil) == 0 {
            throw .standard(.invalidArguments, "'\(destination.prefix(100))' is not a bus name")
        }
    }
}

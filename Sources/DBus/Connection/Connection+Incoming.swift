import CDBus
import Logging

/// Calls that are not answered yet.
struct IncomingCalls {
    private(set) var count = 0
    private var tasks: [Int: Task<Void, Never>] = [:]
    private var perSender: [String: Int] = [:]
    private var nextTask = 0

    func count(of sender: String) -> Int { perSender[sender, default: 0] }

    mutating func begin(_ sender: String) -> Int {
        count += 1
        perSender[sender, default: 0] += 1
        nextTask += 1
        return nextTask
    }

    mutating func hold(_ task: Task<Void, Never>, _ id: Int) { tasks[id] = task }

    mutating func end(_ id: Int, _ sender: String) {
        tasks[id] = nil
        count -= 1
        let rest = perSender[sender, default: 1] - 1
        perSender[sender] = rest == 0 ? nil : rest
    }

    func cancelAll() {
        for task in tasks.values { task.cancel() }
    }
}

/// What a call asks for, once it is known that there is such a thing.
private enum Request {
    case introspect
    /// nil reads all of the interfaces.
    case read([Interface], Interface.Property?)
    case write(Interface, Interface.Property, Value)
    case managedObjects
    case method(Interface, Interface.Method)
}

extension Connection {
    private static let properties = "org.freedesktop.DBus.Properties"
    private static let introspectable = "org.freedesktop.DBus.Introspectable"
    private static let objectManager = "org.freedesktop.DBus.ObjectManager"
    /// Have no properties; Peer is answered by libdbus.
    private static let standard: Set<String> = [properties, introspectable, objectManager, "org.freedesktop.DBus.Peer"]

    /// Answers a call, or begins to.
    func receiveCall(_ message: OpaquePointer) {
        guard let generation = link?.generation, let path = dbus_message_get_path(message),
            let member = dbus_message_get_member(message)
        else { return }
        let sender = dbus_message_get_sender(message).map { String(cString: $0) } ?? ""
        func call(_ arguments: [Value]) -> Call {
            Call(
                sender: sender,
                path: ObjectPath(trusted: String(cString: path)),
                interface: dbus_message_get_interface(message).map { String(cString: $0) },
                member: String(cString: member),
                arguments: arguments,
                allowsInteraction: dbus_message_get_allow_interactive_authorization(message) != 0,
                credentials: callers.credentials(of: sender),
                serial: dbus_message_get_serial(message),
                expectsReply: dbus_message_get_no_reply(message) == 0,
                generation: generation
            )
        }
        let bare = call([])
        do {
            guard incoming.count(of: sender) < limits.callsPerSender, incoming.count < limits.calls else {
                throw DBusError.standard(.limitsExceeded, "too many calls wait for their answers: take those first")
            }
            let signature = dbus_message_get_signature(message).map { String(cString: $0) } ?? ""
            let expected = try expectedSignature(of: bare)
            guard signature == expected else {
                // Nothing of it is read: a wrong argument can be very large.
                throw DBusError.standard(
                    .invalidArguments,
                    "\(bare.member) takes (\(expected)), not (\(signature.prefix(100)))"
                )
            }
            var reader = MessageReader(limits.incoming)
            let whole = call(try reader.arguments(of: message))
            try begin(whole, try request(whole))
        } catch {
            fail(bare, error)
        }
    }

    private func begin(_ call: Call, _ request: Request) throws {
        let permission = authorizer.check(call, Self.target(of: request), on: self)
        if permission == nil, let values = try immediateResult(call, request, seesChildren: true) {
            reply(to: call, values)
            return
        }
        let id = incoming.begin(call.sender)
        let task = Task {
            await answer(call, request, permission)
            incoming.end(id, call.sender)
        }
        incoming.hold(task, id)
    }

    private func answer(
        _ call: Call,
        _ request: Request,
        _ permission: (@Sendable () async throws -> Void)?
    ) async {
        do {
            var seesChildren = true
            do {
                try await permission?()
            } catch  where Self.target(of: request) == .children {
                // What an object can do is in the published contract; which objects there are is not.
                seesChildren = false
            }
            if let values = try immediateResult(call, request, seesChildren: seesChildren) {
                reply(to: call, values)
                return
            }
            switch request {
            case .method(_, let method): reply(to: call, try await method.call(call))
            case .write(let interface, let property, let value):
                try await property.set?(call, value)
                propertiesChanged([property.name], of: interface.name, at: call.path)
                reply(to: call, [])
            case .introspect, .read, .managedObjects: break
            }
        } catch {
            if !(error is DBusError), !(error is any DBusErrorConvertible), !(error is CancellationError) {
                logger.error("call failed", metadata: ["member": "\(call.member)", "error": "\(error)"])
            }
            fail(call, error)
        }
    }

    private static func target(of request: Request) -> CallTarget {
        switch request {
        case .introspect: .children
        case .read(let interfaces, let property):
            .read(interface: interfaces.count == 1 ? interfaces[0].name : "", property: property?.name)
        case .write(let interface, let property, _): .write(interface: interface.name, property: property.name)
        case .managedObjects: .managedObjects
        case .method(let interface, let method): .method(interface: interface.name, member: method.name)
        }
    }

    /// What can be answered from memory; nil for the rest.
    private func immediateResult(_ call: Call, _ request: Request, seesChildren: Bool) throws -> [Value]? {
        switch request {
        case .introspect:
            return [
                .string(
                    Introspection.document(
                        tree.objects[call.path] ?? [],
                        isManager: tree.managers.contains(call.path),
                        children: seesChildren ? tree.children(of: call.path) : []
                    )
                )
            ]
        case .read(_, let property?): return [.variant(property.get())]
        case .read(let interfaces, nil):
            return [.properties(interfaces.flatMap(\.properties).map { ($0.name, $0.get()) })]
        case .managedObjects:
            let below = tree.objects.filter { call.path.isAncestor(of: $0.key) }
            return [
                .dictionary(
                    key: "o",
                    value: "a{sa{sv}}",
                    below.map { Value.Entry(.objectPath($0.key), Self.properties(of: $0.value)) }
                )
            ]
        case .method, .write: return nil
        }
    }

    // MARK: Finding what is called

    private func expectedSignature(of call: Call) throws(DBusError) -> String {
        switch (call.interface, call.member) {
        case (Self.properties?, "Get"): "ss"
        case (Self.properties?, "GetAll"): "s"
        case (Self.properties?, "Set"): "ssv"
        case (Self.introspectable?, "Introspect"), (nil, "Introspect"), (Self.objectManager?, "GetManagedObjects"): ""
        default: try method(call).1.inputSignature
        }
    }

    private func request(_ call: Call) throws(DBusError) -> Request {
        switch (call.interface, call.member) {
        case (Self.introspectable?, "Introspect"), (nil, "Introspect"):
            guard tree.hasNode(call.path) else { throw Self.unknownObject(call.path) }
            return .introspect
        case (Self.properties?, "Get"), (Self.properties?, "GetAll"), (Self.properties?, "Set"):
            return try propertyRequest(call)
        case (Self.objectManager?, "GetManagedObjects") where tree.managers.contains(call.path):
            return .managedObjects
        default:
            let (interface, method) = try method(call)
            return .method(interface, method)
        }
    }

    private func method(_ call: Call) throws(DBusError) -> (Interface, Interface.Method) {
        let interfaces = try object(call.path)
        let found = interfaces.filter { call.interface == nil || call.interface == $0.name }
        if let name = call.interface, found.isEmpty, !Self.standard.contains(name) {
            throw Self.unknownInterface(call, name)
        }
        for interface in found {
            if let method = interface.methods[call.member] { return (interface, method) }
        }
        throw .standard(
            .unknownMethod,
            "there is no method \(call.member) in \(call.interface ?? "any interface") at \(call.path)"
        )
    }

    private func propertyRequest(_ call: Call) throws(DBusError) -> Request {
        let interfaces = try object(call.path)
        // Their signature was checked.
        guard case .string(let name)? = call.arguments.first else { throw .standard(.invalidArguments, "no interface") }
        // An empty name means any (D-Bus specification, "org.freedesktop.DBus.Properties").
        let found = interfaces.filter { name.isEmpty || $0.name == name }
        guard !found.isEmpty || Self.standard.contains(name) else { throw Self.unknownInterface(call, name) }
        guard call.member != "GetAll" else { return .read(found, nil) }
        guard case .string(let wanted) = call.arguments[1] else { throw .standard(.invalidArguments, "no property") }
        for interface in found {
            guard let property = interface.properties.first(where: { $0.name == wanted }) else { continue }
            guard call.member == "Set" else { return .read([interface], property) }
            guard property.set != nil else {
                throw .standard(.propertyReadOnly, "property \(wanted) of \(interface.name) is read-only")
            }
            return .write(interface, property, call.arguments[2].unwrapped)
        }
        throw .standard(
            .unknownProperty,
            "there is no property \(wanted.prefix(100)) in \(name.prefix(255)) at \(call.path)"
        )
    }

    private func object(_ path: ObjectPath) throws(DBusError) -> [Interface] {
        if let interfaces = tree.objects[path] { return interfaces }
        throw Self.unknownObject(path)
    }

    private static func unknownObject(_ path: ObjectPath) -> DBusError {
        .standard(.unknownObject, "there is no object at \(path)")
    }

    private static func unknownInterface(_ call: Call, _ name: String) -> DBusError {
        .standard(.unknownInterface, "the object at \(call.path) has no interface \(name.prefix(255))")
    }

    // MARK: Answers

    private func reply(to call: Call, _ arguments: [Value]) {
        answer(call, arguments) { dbus_message_new(DBUS_MESSAGE_TYPE_METHOD_RETURN) }
    }

    private func fail(_ call: Call, _ error: any Error) {
        let error = DBusError(answering: error)
        // NUL and an invalid name would make libdbus abort; they come from no message that it has let in.
        let isNamed = !error.name.utf8.contains(0) && dbus_validate_error_name(error.name, nil) != 0
        let name = isNamed ? error.name : "org.freedesktop.DBus.Error.Failed"
        let text = error.message.split(separator: "\0", omittingEmptySubsequences: false).joined(separator: "\u{FFFD}")
        answer(call, [.string(text)]) {
            let message = dbus_message_new(DBUS_MESSAGE_TYPE_ERROR)
            if let message { dbus_message_set_error_name(message, name) }
            return message
        }
    }

    /// Sends an answer, unless nobody waits for it or its caller was on another connection.
    private func answer(_ call: Call, _ arguments: [Value], make: () -> OpaquePointer?) {
        guard call.expectsReply, link?.generation == call.generation else { return }
        do {
            try send(arguments) {
                let message = make()
                if let message {
                    dbus_message_set_reply_serial(message, call.serial)
                    if !call.sender.isEmpty { dbus_message_set_destination(message, call.sender) }
                    dbus_message_set_no_reply(message, 1)
                }
                return message
            }
        } catch  where error.is(.invalidArguments) {
            logger.error("answer not sent", metadata: ["member": "\(call.member)", "error": "\(error)"])
            fail(call, DBusError.standard(.failed, "the answer could not be sent"))
        } catch {
            logger.debug("answer not sent", metadata: ["member": "\(call.member)", "error": "\(error)"])
        }
    }
}

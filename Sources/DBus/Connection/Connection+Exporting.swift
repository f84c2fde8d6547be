import CDBus
import Logging

extension Connection {
    /// Offers `interfaces` at `path`, and announces them below an object manager.
    ///
    /// What was there before is replaced.
    ///
    /// - Parameters:
    ///   - interfaces: Besides the standard ones.
    ///   - path: Where.
    ///   - isObjectManager: Whether `path` lists the objects below it.
    public func export(_ interfaces: [Interface], at path: ObjectPath, isObjectManager: Bool = false) {
        unexport(path)
        tree.insert(interfaces, at: path, isManager: isObjectManager)
        guard link != nil else { return }
        for manager in tree.managers(above: path) {
            emit(
                "InterfacesAdded",
                of: "org.freedesktop.DBus.ObjectManager",
                at: manager,
                [.objectPath(path), Self.properties(of: interfaces)]
            )
        }
    }

    /// Takes back what is offered at `path`, and announces that.
    public func unexport(_ path: ObjectPath) {
        let managers = tree.managers(above: path)
        guard let interfaces = tree.remove(path), link != nil else { return }
        for manager in managers {
            emit(
                "InterfacesRemoved",
                of: "org.freedesktop.DBus.ObjectManager",
                at: manager,
                [.objectPath(path), interfaces.map(\.name).dbusValue]
            )
        }
    }

    /// Whether something is offered at `path`.
    public func exports(_ path: ObjectPath) -> Bool { tree.objects[path] != nil }

    /// Sends a signal to all who want it, or to one.
    ///
    /// Without a connection it is sent to nobody: who listens learns of that by the name's owner.
    ///
    /// - Parameters:
    ///   - signal: The member's name.
    ///   - interface: Its interface.
    ///   - path: The object.
    ///   - arguments: Its arguments.
    ///   - destination: The unique name of the only receiver; nil is everybody.
    public func emit(
        _ signal: String,
        of interface: String,
        at path: ObjectPath,
        _ arguments: [Value],
        to destination: String? = nil
    ) {
        guard link != nil else { return }
        do {
            try Self.checkNames(member: signal, interface: interface, destination: destination)
            try send(arguments) {
                let message = dbus_message_new_signal(path.description, interface, signal)
                if let message, let destination { dbus_message_set_destination(message, destination) }
                return message
            }
        } catch {
            logger.error("signal not sent", metadata: ["signal": "\(interface).\(signal)", "error": "\(error)"])
        }
    }

    /// Tells peers that properties changed, each as its declaration says.
    ///
    /// - Parameters:
    ///   - names: Those that may have changed; all but the constant ones if nil.
    ///   - interface: Their interface.
    ///   - path: The object.
    public func propertiesChanged(_ names: [String]? = nil, of interface: String, at path: ObjectPath) {
        guard link != nil, let found = tree.objects[path]?.first(where: { $0.name == interface }) else { return }
        var changed: [(String, Value)] = []
        var invalidated: [Value] = []
        for property in found.properties where names?.contains(property.name) ?? true {
            switch property.emission {
            case .value: changed.append((property.name, property.get()))
            case .invalidation: invalidated.append(.string(property.name))
            case .constant, .none: break
            }
        }
        guard !changed.isEmpty || !invalidated.isEmpty else { return }
        emit(
            "PropertiesChanged",
            of: "org.freedesktop.DBus.Properties",
            at: path,
            [.string(interface), .properties(changed), .array(element: "s", invalidated)]
        )
    }

    /// The form of InterfacesAdded and GetManagedObjects.
    static func properties(of interfaces: [Interface]) -> Value {
        .dictionary(
            key: "s",
            value: "a{sv}",
            interfaces.map { Value.Entry(.string($0.name), $0.values()) }
        )
    }
}

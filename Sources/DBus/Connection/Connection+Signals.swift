import CDBus

/// Somebody who takes signals.
struct Subscription {
    let rule: MatchRule
    let continuation: AsyncThrowingStream<ReceivedSignal, any Error>.Continuation
    /// The connection that has the rule's sender's name now; nil if none has.
    var owner: String?
}

extension Connection {
    /// The signals that fit a rule, from now on, to one consumer.
    ///
    /// They go on when the connection is lost and made anew; what is sent meanwhile is missing. A consumer that falls too far
    /// behind sees its stream end with `LimitsExceeded`: no signal is left out silently.
    ///
    /// - Throws: The bus's error for the rule.
    public func signals(_ rule: MatchRule) async throws -> AsyncThrowingStream<ReceivedSignal, any Error> {
        let (stream, continuation) = AsyncThrowingStream.makeStream(
            of: ReceivedSignal.self,
            bufferingPolicy: .bufferingOldest(limits.signals)
        )
        nextSubscription += 1
        let id = nextSubscription
        subscriptions[id] = Subscription(rule: rule, continuation: continuation)
        continuation.onTermination = { [weak self] _ in Task { await self?.unsubscribe(id) } }
        if uniqueName != nil {
            do {
                try await subscribe(id)
            } catch {
                subscriptions[id] = nil
                throw error
            }
        }
        return stream
    }

    /// Tells the bus of a subscription.
    func subscribe(_ id: Int) async throws {
        guard let rule = subscriptions[id]?.rule else { return }
        if Self.isWellKnown(rule.sender) {
            // Whose signals those of a name are, is for each receiver to find out: anybody may send one to us alone.
            try await addMatch(Self.ownerRule(rule.sender))
            let reply = try? await callBus("GetNameOwner", [.string(rule.sender)])
            if case .string(let owner)? = reply?.first { subscriptions[id]?.owner = owner }
        } else {
            subscriptions[id]?.owner = rule.sender
        }
        try await addMatch(rule.text)
    }

    private func unsubscribe(_ id: Int) async {
        guard let rule = subscriptions.removeValue(forKey: id)?.rule, link != nil else { return }
        // The bus counts rules, so one that others still need stays.
        _ = try? await callBus("RemoveMatch", [.string(rule.text)])
        if Self.isWellKnown(rule.sender) {
            _ = try? await callBus("RemoveMatch", [.string(Self.ownerRule(rule.sender))])
        }
    }

    func addMatch(_ rule: String) async throws { _ = try await callBus("AddMatch", [.string(rule)]) }

    private static func isWellKnown(_ name: String) -> Bool { !name.hasPrefix(":") && name != busName }

    private static func ownerRule(_ name: String) -> String {
        MatchRule(sender: busName, member: "NameOwnerChanged", firstArgument: name).text
    }

    func receiveSignal(_ message: OpaquePointer) {
        let member = dbus_message_get_member(message).map { String(cString: $0) } ?? ""
        let interface = dbus_message_get_interface(message).map { String(cString: $0) } ?? ""
        if interface == "org.freedesktop.DBus.Local", dbus_message_get_sender(message) == nil {
            // libdbus's own, which the bus lets nobody send.
            if member == "Disconnected", let link { lose(link.generation, "the bus closed it") }
            return
        }
        guard let sender = dbus_message_get_sender(message).map({ String(cString: $0) }),
            let path = dbus_message_get_path(message).map({ ObjectPath(trusted: String(cString: $0)) })
        else { return }
        // Most of what comes unasked is for nobody, and is not even read.
        let isOfBus = sender == Self.busName && interface == Self.busName
        guard isOfBus || subscriptions.values.contains(where: { $0.owner == sender }) else { return }
        var reader = MessageReader(limits.incoming)
        guard let arguments = try? reader.arguments(of: message) else { return }
        let signal = ReceivedSignal(
            sender: sender,
            path: path,
            interface: interface,
            member: member,
            arguments: arguments
        )
        if isOfBus {
            heed(signal)
            if member == "NameOwnerChanged" { follow(arguments) }
        }
        for (id, subscription) in subscriptions where subscription.rule.fits(signal, owner: subscription.owner) {
            guard case .dropped = subscription.continuation.yield(signal) else { continue }
            subscriptions[id]?.continuation.finish(
                throwing: DBusError.standard(.limitsExceeded, "\(limits.signals) signals were not taken")
            )
        }
    }

    /// A name has another owner.
    private func follow(_ arguments: [Value]) {
        guard arguments.count == 3, case .string(let name) = arguments[0], case .string(let owner) = arguments[2] else {
            return
        }
        for (id, subscription) in subscriptions where subscription.rule.sender == name && Self.isWellKnown(name) {
            subscriptions[id]?.owner = owner.isEmpty ? nil : owner
        }
    }
}

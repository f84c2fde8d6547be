import CDBus

/// What is known of those who call, for as long as they are on the bus.
struct KnownCallers {
    private static let mostCredentials = 4096

    private var credentials: [String: Credentials] = [:]
    private var watches: [String: [Int: @Sendable () -> Void]] = [:]
    private var nextWatch = 0

    func credentials(of name: String) -> Credentials? { credentials[name] }

    mutating func remember(_ found: Credentials, of name: String) {
        if credentials.count >= Self.mostCredentials { credentials = [:] }
        credentials[name] = found
    }

    mutating func watch(_ name: String, _ action: @escaping @Sendable () -> Void) -> Int {
        nextWatch += 1
        watches[name, default: [:]][nextWatch] = action
        return nextWatch
    }

    mutating func stopWatching(_ name: String, _ watch: Int) {
        watches[name]?[watch] = nil
        if watches[name]?.isEmpty == true { watches[name] = nil }
    }

    mutating func remove(_ name: String) {
        credentials[name] = nil
        for action in (watches.removeValue(forKey: name) ?? [:]).values { action() }
    }

    /// Nobody can be reached any more.
    mutating func removeAll() {
        credentials = [:]
        let all = watches
        watches = [:]
        for action in all.values.flatMap(\.values) { action() }
    }
}

extension Connection {
    /// Owns a name, now and after each time that the connection is made anew.
    ///
    /// - Throws: ``DBusError``: the bus refuses, or another has it.
    public func own(_ name: String) async throws {
        guard !name.utf8.contains(0), dbus_validate_bus_name(name, nil) != 0, !name.hasPrefix(":") else {
            throw DBusError.standard(.invalidArguments, "'\(name.prefix(100))' is not a name that can be owned")
        }
        if !names.contains(name) { names.append(name) }
        if uniqueName != nil { try await requestName(name) }
    }

    /// Whether somebody has a name.
    public func hasOwner(_ name: String) async throws -> Bool {
        try await callBus("NameHasOwner", [.string(name)]).first == .boolean(true)
    }

    /// Whether somebody has a name, or the bus would start whoever has it.
    public func canReach(_ name: String) async throws -> Bool {
        if try await hasOwner(name) { return true }
        guard case .array(_, let names)? = try await callBus("ListActivatableNames").first else { return false }
        return names.contains(.string(name))
    }

    func requestName(_ name: String) async throws {
        let reply = try await callBus("RequestName", [.string(name), .uint32(UInt32(DBUS_NAME_FLAG_DO_NOT_QUEUE))])
        let owned = [DBUS_REQUEST_NAME_REPLY_PRIMARY_OWNER, DBUS_REQUEST_NAME_REPLY_ALREADY_OWNER]
        guard case .uint32(let code)? = reply.first, owned.contains(Int32(code)) else {
            throw DBusError.standard(.failed, "another program has the name \(name)")
        }
    }

    /// Who is behind a unique name, as the bus knows it; remembered until that is gone.
    ///
    /// - Throws: `NameHasNoOwner` if it is gone, and what ``call(_:of:at:_:_:allowsInteraction:timeout:)`` throws.
    public func credentials(of name: String) async throws -> Credentials {
        if let known = callers.credentials(of: name) { return known }
        let generation = link?.generation
        let reply = try await callBus("GetConnectionCredentials", [.string(name)])
        var user: UInt32?
        var process: UInt32?
        if case .dictionary(_, _, let entries)? = reply.first {
            for entry in entries {
                switch (entry.key, entry.value.unwrapped) {
                case (.string("UnixUserID"), .uint32(let number)): user = number
                case (.string("ProcessID"), .uint32(let number)): process = number
                default: break
                }
            }
        }
        guard let user else { throw DBusError.standard(.accessDenied, "the bus does not know which user '\(name)' is") }
        let found = Credentials(user: user, process: process)
        if link?.generation == generation { callers.remember(found, of: name) }
        return found
    }

    /// Calls `action` once when a call's sender is gone from the bus, at once if it is already.
    ///
    /// - Returns: What ``forget(_:)`` takes when it does not matter any more.
    public func whenGone(_ call: Call, _ action: @escaping @Sendable () -> Void) async -> CallerWatch {
        guard link?.generation == call.generation else {
            action()
            return CallerWatch(name: call.sender, number: 0)
        }
        let number = callers.watch(call.sender, action)
        // It may have gone before anybody watched.
        let reply = try? await callBus("NameHasOwner", [.string(call.sender)])
        if reply?.first != .boolean(true) { callers.remove(call.sender) }
        return CallerWatch(name: call.sender, number: number)
    }

    /// Stops watching for a caller's end.
    public func forget(_ watch: CallerWatch) { callers.stopWatching(watch.name, watch.number) }

    /// What the bus itself tells this connection, beside what somebody has subscribed to.
    func heed(_ signal: ReceivedSignal) {
        switch (signal.member, signal.arguments.first, signal.arguments.last) {
        case ("NameOwnerChanged", .string(let name)?, .string("")?):
            callers.remove(name)
        case ("NameLost", .string(let name)?, _) where names.contains(name):
            if let link { lose(link.generation, "the name \(name) was taken away") }
        default: break
        }
    }
}

/// A caller whose end somebody waits for.
public struct CallerWatch: Sendable, Hashable {
    let name: String
    let number: Int
}

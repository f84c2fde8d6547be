/// Which signals are wanted.
public struct MatchRule: Sendable, Hashable {
    /// A unique or a well-known name.
    public var sender: String
    public var path: ObjectPath?
    public var interface: String?
    public var member: String?
    /// The first argument, a string.
    public var firstArgument: String?

    public init(
        sender: String,
        path: ObjectPath? = nil,
        interface: String? = nil,
        member: String? = nil,
        firstArgument: String? = nil
    ) {
        self.sender = sender
        self.path = path
        self.interface = interface
        self.member = member
        self.firstArgument = firstArgument
    }

    /// The rule in the bus's words.
    var text: String {
        let parts = [
            ("type", "signal"), ("sender", sender), ("path", path?.description), ("interface", interface),
            ("member", member), ("arg0", firstArgument),
        ]
        return parts.compactMap { key, value in
            // An apostrophe ends the quoting, stands for itself behind a backslash, and begins the next.
            value.map {
                "\(key)='\($0.split(separator: "'", omittingEmptySubsequences: false).joined(separator: #"'\''"#))'"
            }
        }.joined(separator: ",")
    }

    /// Whether it fits a signal that came from the connection that `owner` is.
    func fits(_ signal: ReceivedSignal, owner: String?) -> Bool {
        guard signal.sender == owner, path == nil || path == signal.path,
            interface == nil || interface == signal.interface, member == nil || member == signal.member
        else { return false }
        guard let firstArgument else { return true }
        return signal.arguments.first == .string(firstArgument)
    }
}

/// A signal of a peer.
public struct ReceivedSignal: Sendable, Hashable {
    /// Its unique name, or `org.freedesktop.DBus` for the bus itself.
    public var sender: String
    public var path: ObjectPath
    public var interface: String
    public var member: String
    public var arguments: [Value]
}

/// Who is behind a unique name, as the bus knows it from the kernel.
public struct Credentials: Sendable, Hashable {
    public var user: UInt32
    /// nil if the bus cannot tell.
    public var process: UInt32?

    public init(user: UInt32, process: UInt32?) {
        self.user = user
        self.process = process
    }
}

/// An incoming method call, copied out of libdbus's memory.
public struct Call: Sendable {
    /// The caller's unique name.
    public let sender: String
    public let path: ObjectPath
    public let interface: String?
    public let member: String
    public let arguments: [Value]
    /// Whether the caller waits for a user who is asked for a password.
    public let allowsInteraction: Bool
    /// The caller's credentials if they are known already; else ``Connection/credentials(of:)`` asks.
    public let credentials: Credentials?
    let serial: UInt32
    let expectsReply: Bool
    /// Of the connection that it came by.
    let generation: Int
}

/// What a call is about to do.
public enum CallTarget: Sendable, Hashable {
    case method(interface: String, member: String)
    /// Reading one property, or all of an interface.
    case read(interface: String, property: String?)
    case write(interface: String, property: String)
    /// Reading all properties of all objects below.
    case managedObjects
    /// Learning which objects there are; whoever may not sees none.
    case children
}

/// Decides who may call what.
public protocol CallAuthorizer: Sendable {
    /// Looks at a call before anything is done for it.
    ///
    /// - Parameters:
    ///   - call: Who calls, and what for.
    ///   - target: What that comes to.
    ///   - connection: Where the call came, to ask others.
    /// - Returns: nil if it may go on; else what has to succeed first, and throws the error for the caller if it may not.
    func check(
        _ call: Call,
        _ target: CallTarget,
        on connection: Connection
    ) -> (@Sendable () async throws -> Void)?
}

/// Lets everybody do everything that the bus's own policy lets through.
public struct OpenToAll: CallAuthorizer {
    public init() {}
    public func check(
        _ call: Call,
        _ target: CallTarget,
        on connection: Connection
    ) -> (@Sendable () async throws -> Void)? { nil }
}

/// An error with a D-Bus name, as a peer sees it.
public struct DBusError: Error, Sendable, Hashable, CustomStringConvertible {
    public var name: String
    public var message: String

    public init(name: String, message: String) {
        self.name = name
        self.message = message
    }

    public var description: String { "\(name): \(message)" }

    /// One of the names that the D-Bus specification and its reference implementation define.
    public enum Standard: String, Sendable {
        case failed = "Failed"
        case accessDenied = "AccessDenied"
        case disconnected = "Disconnected"
        case invalidArguments = "InvalidArgs"
        case limitsExceeded = "LimitsExceeded"
        case nameHasNoOwner = "NameHasNoOwner"
        case noReply = "NoReply"
        case notSupported = "NotSupported"
        case propertyReadOnly = "PropertyReadOnly"
        case timedOut = "TimedOut"
        case unknownInterface = "UnknownInterface"
        case unknownMethod = "UnknownMethod"
        case unknownObject = "UnknownObject"
        case unknownProperty = "UnknownProperty"
    }

    public static func standard(_ name: Standard, _ message: String) -> DBusError {
        DBusError(name: "org.freedesktop.DBus.Error.\(name.rawValue)", message: message)
    }

    /// Whether it has that name.
    public func `is`(_ standard: Standard) -> Bool { name == "org.freedesktop.DBus.Error.\(standard.rawValue)" }
}

/// A domain error that chooses its own D-Bus name.
public protocol DBusErrorConvertible: Error {
    var dbusError: DBusError { get }
}

extension DBusError {
    /// What a peer is told of an error; nothing of one that this library does not know.
    init(answering error: any Error) {
        switch error {
        case let error as DBusError: self = error
        case let error as any DBusErrorConvertible: self = error.dbusError
        case is CancellationError: self = .standard(.failed, "the call was cancelled")
        default: self = .standard(.failed, "the call failed")
        }
    }
}

/// What can be asked of the guest: a method and a path with at most one number in its query.
public enum GuestRoute: Sendable, Hashable {
    /// The guest's ``GuestProtocol/GuestHello``.
    case hello
    /// Event frames after a number, without end.
    case events(after: UInt64)
    /// Output frames from a position on; ends with the program's output.
    case output(from: UInt64)
    /// Output before a position may be forgotten.
    case acknowledgeOutput(upTo: UInt64)
    /// The program's exit is stored: the guest may power off.
    case acknowledgeExit
    /// A signal for the program; nil is its stop signal.
    case signal(UInt64?)
    /// News after a standstill: one request frame with a ``GuestProtocol/GuestWakeUp``.
    case wakeUp
    /// A volume's disk was plugged in: one request frame with a ``GuestProtocol/GuestVolume``, answered when it is mounted.
    case mount
    /// A volume's disk is to be taken out: as ``mount``.
    case unmount
    /// Another identity for a copy of a guest: one request frame with a ``GuestProtocol/GuestIdentity``.
    case identity
    /// A command, its frames both ways.
    case exec
    /// Input for the program: frames of stdin, its end, and the terminal's size. The answer has no frames and ends with
    /// the program; the request's own end says nothing of the program's stdin, which stays open for the next.
    case attach
    /// What is at a path: one request frame with a ``GuestProtocol/GuestPathRequest``, answered by one result frame.
    case pathStatus
    /// Files as a tar archive: one request frame with a ``GuestProtocol/GuestReadRequest``, answered by archive frames and a
    /// result frame.
    case readFiles
    /// A tar archive that becomes files: a request frame with a ``GuestProtocol/GuestWriteRequest``, archive frames and their
    /// end. The answer is a result frame, which may come before all was sent.
    case writeFiles

    /// The request's method.
    public var method: String {
        switch self {
        case .hello, .events, .output: "GET"
        case .acknowledgeOutput, .acknowledgeExit, .signal, .wakeUp, .mount, .unmount, .identity, .exec, .attach,
            .pathStatus,
            .readFiles, .writeFiles:
            "POST"
        }
    }

    /// The request's path with its query.
    public var path: String {
        switch self {
        case .hello: "/v1/hello"
        case .events(let sequence): "/v1/events?after=\(sequence)"
        case .output(let position): "/v1/output?from=\(position)"
        case .acknowledgeOutput(let position): "/v1/output/ack?position=\(position)"
        case .acknowledgeExit: "/v1/exit/ack"
        case .signal(let number?): "/v1/signal?number=\(number)"
        case .signal(nil): "/v1/signal"
        case .wakeUp: "/v1/wake-up"
        case .mount: "/v1/volumes/mount"
        case .unmount: "/v1/volumes/unmount"
        case .identity: "/v1/identity"
        case .exec: "/v1/exec"
        case .attach: "/v1/attach"
        case .pathStatus: "/v1/files/status"
        case .readFiles: "/v1/files/read"
        case .writeFiles: "/v1/files/write"
        }
    }

    /// Reads a request's method and path.
    ///
    /// - Returns: nil if there is no such thing to ask for.
    public init?(method: String, path: String) {
        let parts = path.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        guard let name = parts.first else { return nil }
        let query = parts.count > 1 ? parts[1] : nil
        func number(_ key: String) -> UInt64? {
            guard let query, query.hasPrefix(key + "=") else { return nil }
            return UInt64(query.dropFirst(key.utf8.count + 1))
        }
        switch (method, name) {
        case ("GET", "/v1/hello") where query == nil: self = .hello
        case ("GET", "/v1/events"):
            guard let sequence = number("after") else { return nil }
            self = .events(after: sequence)
        case ("GET", "/v1/output"):
            guard let position = number("from") else { return nil }
            self = .output(from: position)
        case ("POST", "/v1/output/ack"):
            guard let position = number("position") else { return nil }
            self = .acknowledgeOutput(upTo: position)
        case ("POST", "/v1/exit/ack") where query == nil: self = .acknowledgeExit
        case ("POST", "/v1/signal") where query == nil: self = .signal(nil)
        case ("POST", "/v1/signal"):
            guard let value = number("number") else { return nil }
            self = .signal(value)
        case ("POST", "/v1/wake-up") where query == nil: self = .wakeUp
        case ("POST", "/v1/volumes/mount") where query == nil: self = .mount
        case ("POST", "/v1/volumes/unmount") where query == nil: self = .unmount
        case ("POST", "/v1/identity") where query == nil: self = .identity
        case ("POST", "/v1/exec") where query == nil: self = .exec
        case ("POST", "/v1/attach") where query == nil: self = .attach
        case ("POST", "/v1/files/status") where query == nil: self = .pathStatus
        case ("POST", "/v1/files/read") where query == nil: self = .readFiles
        case ("POST", "/v1/files/write") where query == nil: self = .writeFiles
        default: return nil
        }
    }
}

/// What a stub is told, in a file `plan.json` beside the name that it is started by.
public struct Plan: Codable, Sendable {
    /// What goes wrong with a request.
    public struct Fault: Codable, Sendable {
        public enum Kind: Codable, Sendable {
            /// It is answered so.
            case answer(status: Int, body: String)
            /// No answer comes.
            case silence
            /// The connection is closed in the midst of the answer.
            case cut
            /// The answer never ends.
            case flood
            /// The process ends.
            case exit(Int32)
        }

        /// Such as `vm.boot`.
        public var action: String
        public var kind: Kind
        /// How often; then it goes well.
        public var times: Int

        public init(_ action: String, _ kind: Kind, times: Int = .max) {
            self.action = action
            self.kind = kind
            self.times = times
        }
    }

    /// What the guest does by itself once it runs.
    public enum Guest: String, Codable, Sendable { case waits, powersOff, resets, panics }
    /// What the process does when it is started.
    public enum Start: String, Codable, Sendable { case listens, exits, neverListens }

    public var version = "v52.0.0"
    /// A line for each request.
    public var log: String
    /// The document that requests are held against; nil is that of the sources.
    public var specification: String?
    public var start = Start.listens
    public var guest = Guest.waits
    public var faults: [Fault] = []
    /// How long a guest holds on to a device; nil is for ever.
    public var unplugMilliseconds: Int? = 50
    /// What the guest's console says once it runs.
    public var greeting = "hello from the stub\n"

    public init(log: String) {
        self.log = log
    }
}

/// A line of the log.
public struct LoggedRequest: Codable, Sendable {
    /// Counted from 1.
    public var connection: Int
    public var method: String
    public var action: String
    public var body: String
    /// What is not as the specification says.
    public var problems: [String]

    public init(connection: Int, method: String, action: String, body: String, problems: [String]) {
        self.connection = connection
        self.method = method
        self.action = action
        self.body = body
        self.problems = problems
    }
}

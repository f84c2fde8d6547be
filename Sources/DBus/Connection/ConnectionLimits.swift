/// What a peer, or a slow bus, can make a connection hold.
public struct ConnectionLimits: Sendable {
    /// Of one call, or one signal.
    public var incoming = MessageBudget(values: 1 << 16, bytes: 4 << 20)
    /// Of a reply to a call made here.
    public var replies = MessageBudget(values: 1 << 20, bytes: 64 << 20)
    /// Calls of one sender that are not answered yet; more are refused with `LimitsExceeded`.
    public var callsPerSender = 64
    /// The same of all senders together.
    public var calls = 1024
    /// Calls made here that are not answered yet.
    public var outgoingCalls = 1024
    /// Bytes that the bus has not taken yet; with more the connection is given up, so that peers see that signals are missing.
    public var outgoingBytes = 64 << 20
    /// Signals that a stream's consumer has not taken yet; with more the stream ends.
    public var signals = 1024

    public init() {}
}

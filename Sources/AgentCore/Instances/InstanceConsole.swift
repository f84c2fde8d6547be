import GuestProtocol

/// The way into a serial console that nobody reads: there is none.
///
/// The guest's kernel and early init only write to it. In a guest of systemd's no login is on it: its device is a log.
struct NoInput: GuestInput {
    private static var refusal: AgentError {
        AgentError(.invalidState, code: "no_input", "nobody in the guest reads its console; use exec for a shell")
    }

    func write(_ bytes: [UInt8]) async throws { throw Self.refusal }
    func closeInput() async throws {}
    func resize(_ size: TerminalSize) async throws {}
    func leave() async {}

    /// A signal is input, too.
    static func signal(_ number: Int) async throws { throw refusal }
}

extension InstancesService {
    /// Follows an instance's serial console.
    ///
    /// It begins with the end of its log, then comes what the guest's kernel and early init write to it, to the end of the
    /// run. Of an instance that does not run it is the log.
    ///
    /// Any number may follow; each has all of it. There is no input: whatever is written is refused with `no_input`.
    ///
    /// - Parameters:
    ///   - reference: Which instance, in whatever state.
    ///   - tail: How many lines of the log to begin with; nil is all.
    /// - Returns: What is written, and how the program ended.
    /// - Throws: `notFound`; `ambiguous`.
    public func console(_ reference: String, tail: Int?) async throws(AgentError) -> any GuestConversation {
        let instance = try get(reference)
        let end = InstanceRunEnd(of: instance, in: context.directory)
        let lines = await context.logs.lines(
            of: instance.id,
            source: .console,
            tail: tail,
            follow: .until { await end.wait() }
        )
        return InstanceAttachment(input: NoInput(), output: lines, end: end, signal: NoInput.signal)
    }
}

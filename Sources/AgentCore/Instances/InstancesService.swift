public import GuestProtocol

/// Instances: their life, their programs' output, and commands in them. Every transport calls this and nothing below it.
///
/// An instance is named by its id, its name, or a prefix of its id that fits no other; in this order. Calls that change
/// something return when it is done, whether or not their caller still waits: the work belongs to the agent.
public final class InstancesService: Sendable {
    /// The instance that a reference names, from memory.
    ///
    /// - Throws: `notFound`; `ambiguous` if a prefix fits several.
    public func get(_ reference: String) throws(AgentError) -> Instance { throw AgentError(.internal, "stub") }

    /// All that fit a filter, oldest first, from memory.
    public func list(_ filter: InstanceFilter = InstanceFilter()) -> [Instance] { [] }

    /// Makes an instance and starts it; returns when its VMM runs (state Initializing, or beyond).
    ///
    /// - Throws: `invalidArgument` with the field's code, `notFound` for the image, `invalidState` `image_not_ready`,
    ///   `alreadyExists` `name_conflict`, `quotaExceeded`, `unavailable`. Nothing is left of an instance whose
    ///   creation failed.
    public func create(_ request: CreateInstanceRequest) async throws -> Instance { throw AgentError(.internal, "stub") }

    /// Starts a stopped instance; returns when its VMM runs.
    ///
    /// - Throws: `invalidState` unless it is Stopped.
    public func start(_ reference: String, _ request: StartInstanceRequest = StartInstanceRequest()) async throws -> Instance {
        throw AgentError(.internal, "stub")
    }

    /// Stops an instance: the program's stop signal, then the power button, then the kill. Returns when it is Stopped;
    /// its ``Instance/exit`` says which step did it. An instance that is stopped already is returned as it is.
    public func stop(_ reference: String, _ request: StopInstanceRequest = StopInstanceRequest()) async throws -> Instance {
        throw AgentError(.internal, "stub")
    }

    /// Removes an instance and all that belongs to it, from any state, at once. Returns when nothing of it is left.
    public func delete(_ reference: String) async throws { throw AgentError(.internal, "stub") }

    /// Waits until an instance is in a state, or cannot come to it any more by itself (it is Stopped, or deleted).
    ///
    /// - Throws: `notFound` if it isn't there, or is deleted meanwhile.
    public func wait(_ reference: String, for state: InstanceState, timeout: Duration) async throws -> InstanceWaitResult {
        throw AgentError(.internal, "stub")
    }

    /// Runs a command in an instance.
    ///
    /// - Parameter patience: How long to wait for an instance that is still Initializing.
    /// - Throws: `invalidState` if it isn't Running.
    public func exec(_ reference: String, _ request: ExecRequest, patience: Duration) async throws -> any GuestProcess {
        throw AgentError(.internal, "stub")
    }

    /// An instance's log; see ``InstanceLogs/lines(of:source:tail:follow:)``.
    public func logs(
        _ reference: String, source: LogSource, tail: Int?, follow: Bool
    ) throws(AgentError) -> AsyncThrowingStream<LogLine, any Error> { throw AgentError(.internal, "stub") }
}

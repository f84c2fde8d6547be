import Foundation
import GuestProtocol
import Logging

/// One instance: its state, its operations in their order, and the machine that runs it.
///
/// Operations run one at a time, first come first served, in tasks of their own: a caller that goes away does not stop
/// them half way. What is observed (the guest's reports, the VMM's exit) is applied between and during them.
actor InstanceController {
    nonisolated let id: InstanceID
    let context: InstanceContext
    let logger: Logger

    private var machine: InstanceStateMachine
    /// A transition is computed, stored and shown before the next one is computed.
    private let transitions = FairSemaphore(width: 1)
    private let turn = FairSemaphore(width: 1)
    private var operations: [Int: (kind: Operation.Kind, task: Task<Void, any Error>)] = [:]
    private var nextOperation = 0

    /// The machine while it lives, and what watches it.
    var run: Run?
    /// The conversation with its guest, while there is one.
    var channel: (any GuestChannel)? {
        didSet {
            guard channel != nil else { return }
            channelOpening.fulfil(())
            channelOpening = OneShot()
        }
    }
    /// Comes with the next conversation.
    private(set) var channelOpening = OneShot<Void>()
    /// How often its machine came to stand still for want of room on the host's disk, since it last went on.
    var shortages = 0
    /// What the guest has to be told before anything else, since its machine stood still.
    var standstill: Standstill?
    /// Why its guest was not told who it is, and how often in a row that went wrong.
    var identityFailure: (error: AgentError, times: Int)?
    /// Whether it was stopped for the host's shutdown: its restart policy waits for the agent's next life.
    var isHostGoing = false
    /// Waits for the time at which the restart policy starts it again.
    var restartTimer: Task<Void, Never>?
    /// Attaching and detaching, one after the other.
    let connecting = FairSemaphore(width: 1)
    /// Whether the last detach failed.
    var isStillAttached = false

    struct Run {
        let machine: any VirtualMachine
        let watch: Task<Void, Never>
    }

    var instance: Instance { machine.instance }

    init(_ instance: Instance, context: InstanceContext) {
        self.id = instance.id
        self.context = context
        self.machine = InstanceStateMachine(instance)
        var logger = context.logger
        logger[metadataKey: "instance"] = "\(instance.id)"
        logger[metadataKey: "name"] = "\(instance.name)"
        self.logger = logger
    }

    // MARK: Transitions

    /// Applies a transition, stored before it is shown or acted on.
    ///
    /// - Parameters:
    ///   - transition: What happens.
    ///   - changes: Stored in the same transaction.
    /// - Throws: `invalidState` if it is refused, and what the store says; nothing has changed then.
    func apply(_ transition: InstanceTransition, with changes: [StateChange] = []) async throws {
        try await transitions.withTurn {
            guard let (next, stored) = try advance(transition, with: changes) else { return }
            try await context.store.commit(stored)
            show(next)
        }
    }

    /// Applies what has happened whether or not it can be stored: the next change that can be stores this one too.
    func observe(_ transition: InstanceTransition, with changes: [StateChange] = []) async {
        do {
            try await transitions.withTurn {
                guard let (next, stored) = try advance(transition, with: changes) else { return }
                do {
                    try await context.store.commit(stored)
                } catch {
                    logger.error("state not stored", metadata: ["error": "\(error)"])
                }
                show(next)
            }
        } catch {
            logger.error("observation not applied", metadata: ["transition": "\(transition)", "error": "\(error)"])
        }
    }

    private func advance(
        _ transition: InstanceTransition,
        with changes: [StateChange]
    ) throws(AgentError) -> (InstanceStateMachine, [StateChange])? {
        var next = machine
        let now = context.time.now()
        try next.apply(transition, at: now)
        guard next != machine || !changes.isEmpty else { return nil }
        next.countRevision()
        var stored = [StateChange.putInstance(next.instance)] + changes
        if next.instance.state != instance.state {
            stored.append(.appendEvent(EventDraft(stateOf: next.instance, time: now)))
        }
        return (next, stored)
    }

    private func show(_ next: InstanceStateMachine) {
        if next.instance.state != instance.state {
            var metadata: Logger.Metadata = ["state": "\(next.instance.state.rawValue)"]
            if let exit = next.instance.exit { metadata["reason"] = "\(exit.reason.rawValue)" }
            if let error = next.instance.stateError { metadata["error"] = "\(error)" }
            logger.info("instance state", metadata: metadata)
        }
        let isRestartMoved = next.instance.nextRestart != instance.nextRestart
        machine = next
        context.directory.update(next.instance)
        if isRestartMoved, !isHostGoing { scheduleRestart() }
    }

    // MARK: Operations

    /// Runs an operation when it is its turn, recorded from acceptance to end, and waits for it.
    ///
    /// - Parameters:
    ///   - kind: What it is.
    ///   - followsCaller: Whether it is given up when its caller is cancelled: another operation, not a client.
    ///   - body: Does it.
    /// - Throws: What `body` throws; `cancelled` if a delete overtook it.
    func perform(
        _ kind: Operation.Kind,
        followsCaller: Bool = false,
        _ body: @escaping @Sendable (InstanceController) async throws -> Void
    ) async throws {
        nextOperation += 1
        let number = nextOperation
        var record = Operation(
            id: "\(id)-\(UUID().uuidString.lowercased())",
            instance: id,
            kind: kind,
            state: .pending,
            createdAt: context.time.now()
        )
        try await context.store.commit([.putOperation(record)])
        let task = Task {
            try await self.turn.withTurn { try await body(self) }
        }
        operations[number] = (kind, task)
        defer { operations[number] = nil }
        let result = await withTaskCancellationHandler {
            await task.result
        } onCancel: {
            if followsCaller { task.cancel() }
        }
        record.finishedAt = context.time.now()
        switch result {
        case .success: record.state = .succeeded
        case .failure(is CancellationError): record.state = .cancelled
        case .failure(let error):
            record.state = .failed
            record.error = "\(error)"
        }
        do {
            try await context.store.commit([.putOperation(record)])
        } catch {
            logger.error(
                "end of operation not stored",
                metadata: ["operation": "\(kind.rawValue)", "error": "\(error)"]
            )
        }
        if case .failure(is CancellationError) = result {
            throw AgentError(.cancelled, "\(kind.rawValue) of instance '\(instance.name)' was cancelled by a delete")
        }
        try result.get()
    }

    /// Cancels what is running and waiting, for a delete that overtakes it; a delete itself is not overtaken.
    func cancelOperations() {
        for operation in operations.values where operation.kind != .delete { operation.task.cancel() }
    }

    // MARK: Waiting

    /// Waits until a stored value of the instance fits, or its deletion.
    ///
    /// - Returns: The value that fits; nil at the deadline, or when the instance is deleted.
    nonisolated func wait(within limit: Duration, until fits: @escaping @Sendable (Instance) -> Bool) async throws
        -> Instance?
    {
        let changes = context.directory.changes(of: id)
        let clock = context.time.clock
        return try await withThrowingTaskGroup(of: Instance?.self) { group in
            group.addTask {
                for await instance in changes where fits(instance) { return instance }
                try Task.checkCancellation()
                return nil
            }
            group.addTask {
                try await clock.sleep(for: limit)
                return nil
            }
            defer { group.cancelAll() }
            return try await group.next() ?? nil
        }
    }

    /// Ends the watch over the machine without touching the machine: the agent stops, the VM does not.
    func letGo() async {
        restartTimer?.cancel()
        for operation in operations.values { operation.task.cancel() }
        for operation in operations.values { _ = await operation.task.result }
        run?.watch.cancel()
        await run?.watch.value
        await channel?.close()
        channel = nil
    }
}

extension EventDraft {
    init(stateOf instance: Instance, time: Date) {
        var attributes = ["name": instance.name.rawValue, "state": instance.state.rawValue]
        if let exit = instance.exit {
            attributes["reason"] = exit.reason.rawValue
            attributes["exit_code"] = exit.code.map(String.init)
        }
        self.init(time: time, kind: .instanceState, subject: instance.id.rawValue, attributes: attributes)
    }
}

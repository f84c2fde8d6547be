public import AgentCore
import Synchronization

/// The double of the state: keeps everything in memory, and can be told to fail.
///
/// What is stored outlives the agent; ``restarted()`` opens it for its next life.
public final class InMemoryStateStore: StateStore {
    private struct Contents {
        var state = StoredState()
        var operations: [AgentCore.Operation] = []
        var events: [Event] = []
        var failure: AgentError?
    }

    private final class File: Sendable {
        let contents = Mutex(Contents())
    }

    private let file: File
    private let calls: PortCalls
    private let isDead = Mutex(false)

    /// An empty one.
    public convenience init(calls: PortCalls = PortCalls()) { self.init(File(), calls) }

    private init(_ file: File, _ calls: PortCalls) { (self.file, self.calls) = (file, calls) }

    /// The same state for the agent's next life; this one stores nothing any more, as a dead process does.
    public func restarted() -> InMemoryStateStore {
        isDead.withLock { $0 = true }
        return InMemoryStateStore(file, calls)
    }

    /// Makes every commit fail from now on; nil lets them succeed again.
    public func failCommits(with error: AgentError?) { file.contents.withLock { $0.failure = error } }

    public func load() async throws -> StoredState {
        file.contents.withLock { contents in
            var state = contents.state
            state.operations = contents.operations.filter { !$0.state.isFinal }
            state.lastEvent = contents.events.last?.sequence ?? 0
            return state
        }
    }

    @discardableResult
    public func commit(_ changes: [StateChange]) async throws -> [Event] {
        try await calls.enter("store.commit")
        return try file.contents.withLock { contents in
            if isDead.withLock({ $0 }) { throw AgentError(.unavailable, "this life of the agent has ended") }
            if let failure = contents.failure { throw failure }
            var next = contents
            let first = next.events.count
            for change in changes { try Self.apply(change, to: &next) }
            contents = next
            return Array(next.events[first...])
        }
    }

    public func events(after sequence: Int, limit: Int) async throws -> [Event] {
        file.contents.withLock { Array($0.events.filter { $0.sequence > sequence }.prefix(limit)) }
    }

    private static func apply(_ change: StateChange, to contents: inout Contents) throws {
        switch change {
        case .putInstance(let instance):
            let others = contents.state.instances.filter { $0.id != instance.id }
            for other in others { try requireDistinct(instance, other) }
            replace(instance, in: &contents.state.instances) { $0.id == instance.id }
        case .removeInstance(let id): contents.state.instances.removeAll { $0.id == id }
        case .putImage(let image): replace(image, in: &contents.state.images) { $0.name == image.name }
        case .removeImage(let name): contents.state.images.removeAll { $0.name == name }
        case .putSnapshot(let snapshot):
            if let name = snapshot.name,
                contents.state.snapshots.contains(where: { $0.name == name && $0.id != snapshot.id })
            {
                throw AgentError(.alreadyExists, code: "name_conflict", "another snapshot has the name '\(name)'")
            }
            replace(snapshot, in: &contents.state.snapshots) { $0.id == snapshot.id }
        case .removeSnapshot(let id): contents.state.snapshots.removeAll { $0.id == id }
        case .putOperation(let operation): replace(operation, in: &contents.operations) { $0.id == operation.id }
        case .recordResource(let resource): replace(resource, in: &contents.state.resources) { $0 == resource }
        case .forgetResource(let resource): contents.state.resources.removeAll { $0 == resource }
        case .appendEvent(let draft):
            contents.events.append(Event(sequence: (contents.events.last?.sequence ?? 0) + 1, event: draft))
        case .setBootID(let id): contents.state.bootID = id
        case .setLastAddress(let network, let address): contents.state.lastAddresses[network] = address
        }
    }

    private static func requireDistinct(_ instance: Instance, _ other: Instance) throws {
        guard other.name != instance.name else {
            throw AgentError(.alreadyExists, code: "name_conflict", "another instance has the name '\(other.name)'")
        }
        if let mine = instance.attachment, let theirs = other.attachment,
            mine.tap == theirs.tap || (mine.network == theirs.network && mine.address == theirs.address)
        {
            throw AgentError.addressInUse(mine, by: other.name.rawValue)
        }
        for port in instance.specification.publishedPorts
        where other.specification.publishedPorts.contains(where: {
            $0.hostPort == port.hostPort && $0.transport == port.transport
        }) {
            throw AgentError.portInUse(port, by: other.name.rawValue)
        }
    }

    private static func replace<Value>(_ value: Value, in list: inout [Value], where same: (Value) -> Bool) {
        if let index = list.firstIndex(where: same) { list[index] = value } else { list.append(value) }
    }
}

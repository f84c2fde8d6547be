import AgentCore
import DBus
import Logging

/// Work that goes on after its method was answered, as objects.
///
/// The work belongs to the agent: a caller that vanishes does not stop it. An object goes with its work, and `OperationRemoved`
/// says how that ended; the newest results are kept for those who ask later.
actor OperationRegistry {
    /// How an operation stands.
    struct Progress: Sendable, Hashable {
        var state = "running"
        var completed: UInt64 = 0
        /// 0 if it is not known.
        var total: UInt64 = 0
    }

    /// How an operation ended.
    private enum Outcome: Sendable {
        case succeeded
        case failed(DBusError)

        var word: String {
            switch self {
            case .succeeded: "done"
            case .failed(let error): error.name == AgentError.Kind.cancelled.dbusName ? "cancelled" : "failed"
            }
        }
    }

    /// Room for an operation, taken before its work begins.
    struct Place: Sendable {
        /// The unique name of whoever began it.
        fileprivate let caller: String
    }

    private static let keptResults = 256

    private let connection: Connection
    private let published: PublishedObjects
    private let targets: OperationTargets
    private let logger: Logger
    private var number: UInt32 = 0
    private var running: [UInt32: OneShot<Outcome>] = [:]
    private var results: [UInt32: Outcome] = [:]
    private var order: [UInt32] = []
    /// Those that go on: each of them is an object, and most wait in their instance's queue.
    private var quota = CallerQuota(
        mostOfCaller: 64,
        most: 1024,
        state: "operations are under way",
        remedy: "wait for some first"
    )

    private static let table = PropertyTable<Progress> { table in
        table.add("State") { $0.state }
        table.add("Completed") { $0.completed }
        table.add("Total") { $0.total }
    }

    init(connection: Connection, published: PublishedObjects, targets: OperationTargets, logger: Logger) {
        self.connection = connection
        self.published = published
        self.targets = targets
        self.logger = logger
    }

    /// Takes room for an operation: the agent goes on with it when its caller does not wait, and so many can be begun.
    ///
    /// - Throws: `quotaExceeded`.
    func reserve(for call: Call) throws(AgentError) -> Place {
        try quota.reserve(call.sender)
        return Place(caller: call.sender)
    }

    /// Gives room back that no operation was begun in.
    func release(_ place: Place) { quota.release(place.caller) }

    /// Begins an operation.
    ///
    /// - Parameters:
    ///   - kind: What it is, as `start`.
    ///   - call: Who wants it.
    ///   - target: The object that it is about; `/` if there is none yet.
    ///   - others: Objects that it changes besides.
    ///   - cancel: Ends it early; nil if it cannot be.
    ///   - body: The work, which may report how far it is.
    /// - Returns: Its object.
    /// - Throws: As ``reserve(for:)``.
    func begin(
        _ kind: String,
        for call: Call,
        on target: ObjectPath,
        changing others: [ObjectPath] = [],
        cancel: (@Sendable () async throws -> Void)? = nil,
        _ body: @escaping @Sendable (_ report: @escaping @Sendable (Progress) async -> Void) async throws -> Void
    ) async throws -> ObjectPath {
        await begin(kind, in: try reserve(for: call), on: target, changing: others, cancel: cancel, body)
    }

    /// The same, in a place that was taken before.
    func begin(
        _ kind: String,
        in place: Place,
        on target: ObjectPath,
        changing others: [ObjectPath] = [],
        cancel: (@Sendable () async throws -> Void)? = nil,
        _ body: @escaping @Sendable (_ report: @escaping @Sendable (Progress) async -> Void) async throws -> Void
    ) async -> ObjectPath {
        number &+= 1
        let id = number
        let path = ObjectPath.operation(id)
        let shown = Self.table.shown(Progress())
        let end = OneShot<Outcome>()
        running[id] = end
        targets[path] = target
        await connection.export([Self.interface(id, kind, target, shown, cancel)], at: path)
        await connection.emit(
            "OperationNew",
            of: AgentInterface.manager,
            at: AgentBus.root,
            [.uint32(id), .objectPath(path)]
        )
        let (connection, published) = (connection, published)
        Task {
            var outcome = Outcome.succeeded
            do {
                try await body { progress in
                    let changed = Self.table.show(progress, on: shown)
                    await connection.propertiesChanged(changed, of: AgentInterface.operation, at: path)
                }
            } catch {
                let error = AgentError.wrapping(error, "the \(kind) failed")
                if error.kind == .internal {
                    logger.error("operation failed", metadata: ["kind": "\(kind)", "error": "\(error)"])
                }
                outcome = .failed(error.dbusError)
            }
            // Who learns of an operation's end finds in the properties what it did.
            for path in [target] + others { await published.show(at: path) }
            release(place)
            await finish(id, outcome, end)
        }
        return path
    }

    /// Waits for the end of an operation.
    ///
    /// - Throws: Its error; `notFound` for one that is not known any more.
    func wait(_ path: ObjectPath) async throws {
        guard let id = Self.number(of: path) else {
            throw AgentError(.invalidArgument, "\(path) is not an operation's path")
        }
        let outcome: Outcome
        if let end = running[id] {
            outcome = try await end.wait()
        } else if let result = results[id] {
            outcome = result
        } else {
            throw AgentError(.notFound, "there is no operation \(path), nor is it among the last \(Self.keptResults)")
        }
        if case .failed(let error) = outcome { throw error }
    }

    private func finish(_ id: UInt32, _ outcome: Outcome, _ end: OneShot<Outcome>) async {
        running[id] = nil
        results[id] = outcome
        order.append(id)
        if order.count > Self.keptResults {
            let oldest = order.removeFirst()
            results[oldest] = nil
            targets[.operation(oldest)] = nil
        }
        end.fulfil(outcome)
        var error = DBusError(name: "", message: "")
        if case .failed(let failure) = outcome { error = failure }
        await connection.emit(
            "OperationRemoved",
            of: AgentInterface.manager,
            at: AgentBus.root,
            [
                .uint32(id), .objectPath(.operation(id)), .string(outcome.word), .string(error.name),
                .string(error.message),
            ]
        )
        await connection.unexport(.operation(id))
    }

    /// The number at the end of a path, which is not escaped.
    private static func number(of path: ObjectPath) -> UInt32? {
        let prefix = "\(AgentBus.root)/operations/"
        guard path.description.hasPrefix(prefix) else { return nil }
        return UInt32(path.description.dropFirst(prefix.count))
    }

    private static func interface(
        _ id: UInt32,
        _ kind: String,
        _ target: ObjectPath,
        _ shown: Shown,
        _ cancel: (@Sendable () async throws -> Void)?
    ) -> Interface {
        Interface(
            AgentInterface.operation,
            [
                .method("Cancel") { (_: Call) in
                    guard let cancel else {
                        throw AgentError(
                            .notSupported,
                            "a \(kind) cannot be cancelled; deleting the instance overtakes whatever is under way for it"
                        )
                    }
                    try await answering { try await cancel() }
                },
                .property("Id", .constant) { id },
                .property("Kind", .constant) { kind },
                .property("Target", .constant) { target },
            ] + table.members(of: shown)
        )
    }
}

/// Runs what a method does, so that every error that leaves it has a name of ours.
func answering<Value>(_ body: () async throws -> Value) async throws -> Value {
    do {
        return try await body()
    } catch {
        throw AgentError.answering(error)
    }
}

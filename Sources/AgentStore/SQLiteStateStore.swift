public import AgentCore
import Foundation
import GRDB
public import SystemPackage

/// The agent's state in one SQLite file (WAL, `synchronous=FULL`: a commit is on disk when it returns).
///
/// Rows hold a value as JSON beside the columns that must be unique or searched; a migration changes both.
public final class SQLiteStateStore: StateStore {
    /// Ended operations and events that are kept.
    public static let retainedOperations = 1_000
    public static let retainedEvents = 10_000
    /// Of the setting that holds a network's last given address.
    static let lastAddressPrefix = "last_address/"

    private let database: DatabaseQueue

    /// Opens the file, makes it if it isn't there, and brings it to this version.
    ///
    /// - Throws: ``AgentError``: `versionMismatch` if a newer agent wrote it, and nothing is touched then;
    ///   `unavailable` if it cannot be opened, naming the file.
    public init(path: FilePath) throws {
        do {
            let migrator = Schema.migrator
            try Self.refuseNewer(path, than: migrator)
            var configuration = Configuration()
            configuration.label = "state"
            configuration.journalMode = .wal
            configuration.prepareDatabase { database in
                try database.execute(sql: "PRAGMA synchronous = FULL")
            }
            self.database = try DatabaseQueue(path: path.string, configuration: configuration)
            try migrator.migrate(database)
        } catch let error as AgentError {
            throw error
        } catch {
            throw AgentError(.unavailable, "cannot open the agent's state in \(path)", cause: error)
        }
    }

    /// Looks with a connection that cannot write: opening for writing in WAL mode already changes the file.
    private static func refuseNewer(_ path: FilePath, than migrator: DatabaseMigrator) throws {
        guard FileManager.default.fileExists(atPath: path.string) else { return }
        var configuration = Configuration()
        configuration.readonly = true
        let database = try DatabaseQueue(path: path.string, configuration: configuration)
        guard try database.read({ try !migrator.hasBeenSuperseded($0) }) else {
            throw AgentError(
                .versionMismatch,
                "the state in \(path) was written by a newer hypeman-agent; install that version or a newer one, "
                    + "or set DATA_DIR to another directory"
            )
        }
        try database.close()
    }

    /// Closes the file; every later call fails.
    public func close() throws { try database.close() }

    public func load() async throws -> StoredState {
        try await translatingErrors {
            try await database.read { database in
                let decoder = JSONDecoder()
                func rows<Value: Decodable>(_ sql: String) throws -> [Value] {
                    try Data.fetchAll(database, sql: sql).map { try decoder.decode(Value.self, from: $0) }
                }
                var state = StoredState()
                state.instances = try rows("SELECT body FROM instance ORDER BY rowid")
                state.images = try rows("SELECT body FROM image ORDER BY name")
                state.snapshots = try rows("SELECT body FROM snapshot ORDER BY rowid")
                state.volumes = try rows("SELECT body FROM volume ORDER BY rowid")
                state.operations = try rows("SELECT body FROM operation WHERE NOT final ORDER BY rowid")
                state.resources = try rows("SELECT body FROM resource ORDER BY rowid")
                state.lastEvent = try Int.fetchOne(database, sql: "SELECT max(sequence) FROM event") ?? 0
                for row in try Row.fetchAll(database, sql: "SELECT name, value FROM setting") {
                    let (name, value): (String, String) = (row["name"], row["value"])
                    if name == "boot_id" { state.bootID = value }
                    if name.hasPrefix(Self.lastAddressPrefix), let address = IPv4Address(value) {
                        state.lastAddresses[String(name.dropFirst(Self.lastAddressPrefix.count))] = address
                    }
                }
                return state
            }
        }
    }

    @discardableResult
    public func commit(_ changes: [StateChange]) async throws -> [Event] {
        try await translatingErrors {
            try await database.write { database in
                var writer = ChangeWriter(database: database)
                for change in changes { try writer.write(change) }
                return writer.events
            }
        }
    }

    public func events(after sequence: Int, limit: Int) async throws -> [Event] {
        try await translatingErrors {
            try await database.read { database in
                let rows = try Row.fetchAll(
                    database,
                    sql: "SELECT sequence, body FROM event WHERE sequence > ? ORDER BY sequence LIMIT ?",
                    arguments: [sequence, limit]
                )
                return try rows.map { row in
                    Event(
                        sequence: row["sequence"],
                        event: try JSONDecoder().decode(EventDraft.self, from: row["body"])
                    )
                }
            }
        }
    }

    private func translatingErrors<Value: Sendable>(_ body: () async throws -> Value) async throws -> Value {
        do {
            return try await body()
        } catch DatabaseError.SQLITE_FULL {
            throw AgentError(.storageFull, "the agent's state cannot be stored: the disk of DATA_DIR is full")
        } catch let error as AgentError {
            throw error
        } catch let error as DatabaseError {
            throw AgentError(.internal, "the agent's state cannot be read or stored", cause: error)
        } catch let error as DecodingError {
            throw AgentError(.internal, "the agent's state holds a value that this version cannot read", cause: error)
        }
    }
}

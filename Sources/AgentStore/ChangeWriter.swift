import AgentCore
import Foundation
import GRDB

/// Writes changes inside one transaction.
struct ChangeWriter {
    let database: Database
    /// What was appended, numbered.
    private(set) var events: [Event] = []
    private let encoder = JSONEncoder()

    init(database: Database) {
        self.database = database
        encoder.outputFormatting = .sortedKeys
    }

    mutating func write(_ change: StateChange) throws {
        switch change {
        case .putInstance(let instance):
            try execute(
                """
                INSERT INTO instance (id, name, body) VALUES (?, ?, ?)
                ON CONFLICT (id) DO UPDATE SET name = excluded.name, body = excluded.body
                """,
                [instance.id.rawValue, instance.name.rawValue, try encoder.encode(instance)]
            )
        case .removeInstance(let id):
            try execute("DELETE FROM instance WHERE id = ?", [id.rawValue])
        case .putImage(let image):
            try execute(
                """
                INSERT INTO image (name, digest, body) VALUES (?, ?, ?)
                ON CONFLICT (name) DO UPDATE SET digest = excluded.digest, body = excluded.body
                """,
                [image.name, image.digest.description, try encoder.encode(image)]
            )
        case .removeImage(let name):
            try execute("DELETE FROM image WHERE name = ?", [name])
        case .putOperation(let operation):
            try put(operation)
        case .recordResource(let resource):
            try execute(
                "INSERT INTO resource (owner, kind, value, body) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                [resource.owner.rawValue, resource.kind.rawValue, resource.value, try encoder.encode(resource)]
            )
        case .forgetResource(let resource):
            try execute(
                "DELETE FROM resource WHERE owner = ? AND kind = ? AND value = ?",
                [resource.owner.rawValue, resource.kind.rawValue, resource.value]
            )
        case .appendEvent(let draft):
            try append(draft)
        case .setBootID(let id):
            try execute(
                "INSERT INTO setting (name, value) VALUES ('boot_id', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                [id]
            )
        }
    }

    private func put(_ operation: AgentCore.Operation) throws {
        try execute(
            """
            INSERT INTO operation (id, instance, final, body) VALUES (?, ?, ?, ?)
            ON CONFLICT (id) DO UPDATE SET final = excluded.final, body = excluded.body
            """,
            [operation.id, operation.instance.rawValue, operation.state.isFinal, try encoder.encode(operation)]
        )
        guard operation.state.isFinal else { return }
        try execute(
            "DELETE FROM operation WHERE final AND rowid <= (SELECT max(rowid) FROM operation) - ?",
            [SQLiteStateStore.retainedOperations]
        )
    }

    private mutating func append(_ draft: EventDraft) throws {
        try execute("INSERT INTO event (body) VALUES (?)", [try encoder.encode(draft)])
        let sequence = Int(database.lastInsertedRowID)
        events.append(Event(sequence: sequence, event: draft))
        try execute("DELETE FROM event WHERE sequence <= ?", [sequence - SQLiteStateStore.retainedEvents])
    }

    private func execute(_ sql: String, _ arguments: StatementArguments) throws {
        try database.cachedStatement(sql: sql).execute(arguments: arguments)
    }
}

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
            try put(instance)
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
        case .putSnapshot(let snapshot):
            try put(snapshot)
        case .removeSnapshot(let id):
            try execute("DELETE FROM snapshot WHERE id = ?", [id.rawValue])
        case .putVolume(let volume):
            try put(volume)
        case .removeVolume(let id):
            try execute("DELETE FROM volume WHERE id = ?", [id.rawValue])
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
            try set("boot_id", to: id)
        case .setLastAddress(let network, let address):
            try set(SQLiteStateStore.lastAddressPrefix + network, to: address.description)
        }
    }

    private func set(_ name: String, to value: String) throws {
        try execute(
            "INSERT INTO setting (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            [name, value]
        )
    }

    private func put(_ instance: Instance) throws {
        do {
            try execute(
                """
                INSERT INTO instance (id, name, network, address, tap, body) VALUES (?, ?, ?, ?, ?, ?)
                ON CONFLICT (id) DO UPDATE SET name = excluded.name, network = excluded.network,
                address = excluded.address, tap = excluded.tap, body = excluded.body
                """,
                [
                    instance.id.rawValue, instance.name.rawValue, instance.attachment?.network,
                    instance.attachment.map { Int($0.address.value) }, instance.attachment?.tap,
                    try encoder.encode(instance),
                ]
            )
        } catch DatabaseError.SQLITE_CONSTRAINT_UNIQUE {
            throw try conflict(of: instance)
        }
        try putPorts(of: instance)
    }

    /// What another instance has that this one was to have.
    private func conflict(of instance: Instance) throws -> AgentError {
        let names = try String.fetchAll(
            database,
            sql: "SELECT name FROM instance WHERE id <> ? AND (name = ? OR (network = ? AND address = ?) OR tap = ?)",
            arguments: [
                instance.id.rawValue, instance.name.rawValue, instance.attachment?.network,
                instance.attachment.map { Int($0.address.value) }, instance.attachment?.tap,
            ]
        )
        guard let attachment = instance.attachment, !names.contains(instance.name.rawValue) else {
            return AgentError(
                .alreadyExists,
                code: "name_conflict",
                "another instance has the name '\(instance.name)'"
            )
        }
        return .addressInUse(attachment, by: names.first ?? "?")
    }

    /// Writes the ports anew where they are others than before, which is rare: an instance is stored often.
    private func putPorts(of instance: Instance) throws {
        let id = instance.id.rawValue
        let wanted = Set(instance.specification.publishedPorts.map { "\($0.hostPort)/\($0.transport.rawValue)" })
        let stored = try database.cachedStatement(
            sql: "SELECT host_port || '/' || transport FROM published_port WHERE instance = ?"
        )
        guard try wanted != Set(String.fetchAll(stored, arguments: [id])) else { return }
        try execute("DELETE FROM published_port WHERE instance = ?", [id])
        for port in instance.specification.publishedPorts {
            do {
                try execute(
                    "INSERT INTO published_port (transport, host_port, instance) VALUES (?, ?, ?)",
                    [port.transport.rawValue, Int(port.hostPort), id]
                )
            } catch DatabaseError.SQLITE_CONSTRAINT_PRIMARYKEY {
                let holder = try String.fetchOne(
                    database,
                    sql: """
                        SELECT name FROM instance JOIN published_port ON instance.id = published_port.instance
                        WHERE transport = ? AND host_port = ?
                        """,
                    arguments: [port.transport.rawValue, Int(port.hostPort)]
                )
                throw AgentError.portInUse(port, by: holder ?? "?")
            }
        }
    }

    private func put(_ snapshot: AgentCore.Snapshot) throws {
        do {
            try execute(
                """
                INSERT INTO snapshot (id, name, body) VALUES (?, ?, ?)
                ON CONFLICT (id) DO UPDATE SET name = excluded.name, body = excluded.body
                """,
                [snapshot.id.rawValue, snapshot.name?.rawValue, try encoder.encode(snapshot)]
            )
        } catch DatabaseError.SQLITE_CONSTRAINT_UNIQUE {
            throw AgentError(
                .alreadyExists,
                code: "name_conflict",
                "another snapshot has the name '\(snapshot.name?.rawValue ?? "")'"
            )
        }
    }

    private func put(_ volume: Volume) throws {
        do {
            try execute(
                """
                INSERT INTO volume (id, name, body) VALUES (?, ?, ?)
                ON CONFLICT (id) DO UPDATE SET name = excluded.name, body = excluded.body
                """,
                [volume.id.rawValue, volume.name.rawValue, try encoder.encode(volume)]
            )
        } catch DatabaseError.SQLITE_CONSTRAINT_UNIQUE {
            throw AgentError(
                .alreadyExists,
                code: "name_conflict",
                "another volume has the name '\(volume.name)'"
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

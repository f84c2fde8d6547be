import AgentAPI
import ArgumentParser

struct SnapshotCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "snapshot",
        abstract: "Keep instances as they are, and bring them back to it.",
        subcommands: [
            SnapshotCreateCommand.self, SnapshotListCommand.self, SnapshotGetCommand.self, SnapshotRestoreCommand.self,
            SnapshotForkCommand.self, SnapshotDeleteCommand.self,
        ]
    )
}

struct SnapshotCreateCommand: AgentCommand {
    static let configuration = CommandConfiguration(
        commandName: "create",
        abstract: "Keep an instance as it is now, and print the snapshot's id.",
        discussion:
            "One that runs is kept with its memory, and stands still meanwhile; of a stopped one it is the disk."
    )

    @Option(help: "A name for the snapshot.")
    var name: String?

    @Option(name: [.short, .long], help: "A tag NAME=VALUE of the snapshot.")
    var label: [String] = []

    @Argument(help: "The instance.")
    var instance: String

    func perform() async throws -> Int32 {
        let (name, instance, tags) = (name, instance, RunCommand.tags(label))
        return try await AgentClient.with { client in
            let isStopped = try await client.instance(instance).state == "Stopped"
            let body = CreateSnapshotBody(kind: isStopped ? "Stopped" : "Standby", name: name, tags: tags)
            let path = AgentClient.path(instance: instance, "/snapshots")
            print(try await client.call(.post, path, body: body, as: SnapshotResponse.self).id)
            return 0
        }
    }
}

struct SnapshotListCommand: AgentCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "List snapshots.",
        aliases: ["ls"]
    )

    @Flag(name: [.short, .long], help: "Print ids only.")
    var quiet = false

    @Option(help: "How to print: table, json or yaml.")
    var format = OutputFormat.table

    @Argument(help: "Only those of this instance.")
    var instance: String?

    func perform() async throws -> Int32 {
        let (quiet, format, instance) = (quiet, format, instance)
        return try await AgentClient.with { client in
            var path = "/snapshots"
            if let instance { path += "?source_instance_id=\(try await client.instance(instance).id)" }
            let snapshots = try await client.call(.get, path, as: [SnapshotResponse].self)
            guard !quiet else {
                for snapshot in snapshots { print(snapshot.id) }
                return 0
            }
            try format.print(snapshots) {
                var table = Table("ID", "NAME", "KIND", "INSTANCE", "SIZE", "CREATED")
                for snapshot in snapshots {
                    table.add(
                        String(snapshot.id.prefix(12)),
                        snapshot.name ?? "-",
                        snapshot.kind,
                        snapshot.sourceInstanceName,
                        HumanText.bytes(snapshot.sizeBytes),
                        HumanText.age(of: snapshot.createdAt)
                    )
                }
                return table
            }
            return 0
        }
    }
}

struct SnapshotGetCommand: AgentCommand {
    static let configuration = CommandConfiguration(
        commandName: "get",
        abstract: "Print all that is known of a snapshot."
    )

    @Argument(help: "Its id or name.")
    var snapshot: String

    func perform() async throws -> Int32 {
        let snapshot = snapshot
        return try await AgentClient.with { client in
            let found = try await client.call(.get, AgentClient.path(snapshot: snapshot), as: JSONValue.self)
            print(String(decoding: try APIJSON.encode(found, pretty: true), as: UTF8.self))
            return 0
        }
    }
}

struct SnapshotRestoreCommand: AgentCommand {
    static let configuration = CommandConfiguration(
        commandName: "restore",
        abstract: "Make an instance what it was in a snapshot; what it is now is lost.",
        discussion: "The instance is Stopped or in Standby, and runs afterwards."
    )

    @Flag(help: "Do not let it run.")
    var atRest = false

    @Argument(help: "The instance.")
    var instance: String

    @Argument(help: "The snapshot's id or name.")
    var snapshot: String

    func perform() async throws -> Int32 {
        let (instance, snapshot, atRest) = (instance, snapshot, atRest)
        return try await AgentClient.with { client in
            let id = try await client.call(
                .get,
                AgentClient.path(snapshot: snapshot),
                as: SnapshotResponse.self
            ).id
            try await client.call(
                .post,
                AgentClient.path(instance: instance, "/snapshots/\(id)/restore"),
                body: RestoreSnapshotBody(targetState: atRest ? nil : "Running")
            )
            print(instance)
            return 0
        }
    }
}

struct SnapshotDeleteCommand: AgentCommand {
    static let configuration = CommandConfiguration(
        commandName: "delete",
        abstract: "Remove snapshots.",
        aliases: ["rm"]
    )

    @Argument(help: "Their ids or names.")
    var snapshots: [String]

    func perform() async throws -> Int32 {
        let snapshots = snapshots
        return try await AgentClient.with { client in
            try await Each.perform(snapshots) { name in
                try await client.call(.delete, AgentClient.path(snapshot: name))
            }
        }
    }
}

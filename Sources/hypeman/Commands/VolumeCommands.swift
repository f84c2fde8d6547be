import AgentAPI
import ArgumentParser
import Foundation

struct VolumeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "volume",
        abstract: "Manage volumes: disks that outlive instances.",
        discussion: "A volume is read-write in one instance, or read-only in many. Volumes are named by name or id.",
        subcommands: [
            VolumeCreateCommand.self, VolumeListCommand.self, VolumeInspectCommand.self, VolumeRemoveCommand.self,
            VolumeGrowCommand.self, VolumeAttachCommand.self, VolumeDetachCommand.self, VolumePruneCommand.self,
        ]
    )
}

struct VolumeCreateCommand: AgentCommand {
    static let configuration = CommandConfiguration(
        commandName: "create",
        abstract: "Make a volume, and print its name."
    )

    @Option(name: [.short, .long], help: "Its size.")
    var size = VolumeSize.standard

    @Option(help: "A tar archive, as it is or compressed with gzip or zstd, that becomes its contents; '-' for stdin.")
    var from: String?

    @Option(help: "An id of your own.")
    var id: String?

    @Option(name: [.short, .long], help: "A tag NAME=VALUE of the volume.")
    var label: [String] = []

    @Argument(help: "Its name; made up if left out.")
    var name: String?

    func perform() async throws -> Int32 {
        let body = CreateVolumeBody(
            name: name ?? InstanceNames.random(for: "volume"),
            size: size.gigabytes,
            id: id,
            tags: RunCommand.tags(label)
        )
        let from = from
        return try await AgentClient.with { client in
            let volume: VolumeResponse
            if let from {
                let source = try ArchiveSource(from)
                volume = try await client.upload(
                    Self.archivePath(body),
                    ArchiveChunks(pieces: source.pieces) { _ in },
                    length: source.size
                )
            } else {
                volume = try await client.call(.post, "/volumes", body: body)
            }
            print(volume.name)
            return 0
        }
    }

    /// Where the archive goes; separate for its test.
    static func archivePath(_ body: CreateVolumeBody) -> String {
        var query = [("name", body.name), ("size_gb", String(body.size))]
        if let id = body.id { query.append(("id", id)) }
        query += (body.tags ?? [:]).sorted { $0.key < $1.key }.map { ("tags[\($0.key)]", $0.value) }
        return "/volumes/from-archive?"
            + query.map { "\(PercentEncoding.encode($0.0))=\(PercentEncoding.encode($0.1))" }.joined(separator: "&")
    }
}

struct VolumeListCommand: AgentCommand {
    static let configuration = CommandConfiguration(
        commandName: "ls",
        abstract: "List volumes.",
        aliases: ["list"]
    )

    @Flag(name: [.short, .long], help: "Print names only.")
    var quiet = false

    @Option(help: "How to print: table, json or yaml.")
    var format = OutputFormat.table

    func perform() async throws -> Int32 {
        let (quiet, format) = (quiet, format)
        return try await AgentClient.with { client in
            let volumes = try await client.call(.get, "/volumes", as: [VolumeResponse].self)
            guard !quiet else {
                for volume in volumes { print(volume.name) }
                return 0
            }
            try format.print(volumes) { Self.table(of: volumes) }
            return 0
        }
    }

    /// A line a volume; separate for its test.
    static func table(of volumes: [VolumeResponse]) -> Table {
        var table = Table("NAME", "ID", "SIZE", "INSTANCES", "CREATED")
        for volume in volumes {
            let users = (volume.attachments ?? []).map { user in
                "\(user.instanceName):\(user.mountPath)\(user.readonly ? ":ro" : "")"
            }
            table.add(
                volume.name,
                String(volume.id.prefix(12)),
                HumanText.bytes(volume.size << 30),
                users.isEmpty ? "-" : users.joined(separator: ", "),
                HumanText.age(of: volume.createdAt)
            )
        }
        return table
    }
}

struct VolumeInspectCommand: AgentCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect",
        abstract: "Print all that is known of volumes."
    )

    @Argument(help: "Their names or ids.")
    var volumes: [String]

    func perform() async throws -> Int32 {
        let volumes = volumes
        return try await AgentClient.with { client in
            var found: [JSONValue] = []
            for name in volumes { found.append(try await client.call(.get, AgentClient.path(volume: name))) }
            print(String(decoding: try APIJSON.encode(found, pretty: true), as: UTF8.self))
            return 0
        }
    }
}

struct VolumeRemoveCommand: AgentCommand {
    static let configuration = CommandConfiguration(
        commandName: "rm",
        abstract: "Remove volumes that no instance has, and what is on them.",
        aliases: ["remove"]
    )

    @Flag(name: [.short, .long], help: "One that isn't there is no failure.")
    var force = false

    @Argument(help: "Their names or ids.")
    var volumes: [String]

    func perform() async throws -> Int32 {
        let (volumes, force) = (volumes, force)
        return try await AgentClient.with { client in
            try await Each.perform(volumes) { name in
                do {
                    try await client.call(.delete, AgentClient.path(volume: name))
                } catch let error as AgentRefusal where error.status == 404 && force {
                    return
                }
            }
        }
    }
}

struct VolumeGrowCommand: AgentCommand {
    static let configuration = CommandConfiguration(
        commandName: "grow",
        abstract: "Give a volume more room, while the instances that have it are stopped."
    )

    @Argument(help: "Its name or id.")
    var volume: String

    @Argument(help: "The size that it is to have, as 20GB.")
    var size: VolumeSize

    func perform() async throws -> Int32 {
        let (volume, body) = (volume, UpdateVolumeBody(size: size.gigabytes))
        return try await AgentClient.with { client in
            let grown = try await client.call(
                .patch,
                AgentClient.path(volume: volume),
                body: body,
                as: VolumeResponse.self
            )
            print("\(grown.name) has \(HumanText.bytes(grown.size << 30))")
            return 0
        }
    }
}

struct VolumeAttachCommand: AgentCommand {
    static let configuration = CommandConfiguration(
        commandName: "attach",
        abstract: "Give an instance a volume: at once if it runs, else from its next start on."
    )

    @Argument(help: "The instance.")
    var instance: String

    @Argument(help: ArgumentHelp("The volume and its place: NAME:/path or NAME:/path:ro.", valueName: "name:/path"))
    var volume: String

    func validate() throws {
        guard try VolumeOption(volume).overlaySize == nil else {
            throw ValidationError("A volume with an overlay is given with run -v, when the instance is made.")
        }
    }

    func perform() async throws -> Int32 {
        let (instance, option) = (instance, try VolumeOption(volume))
        return try await AgentClient.with { client in
            try await client.call(
                .post,
                AgentClient.path(instance: instance, AgentClient.path(volume: option.volume)),
                body: AttachVolumeBody(mountPath: option.path, readonly: option.isReadOnly ? true : nil)
            )
            print(instance)
            return 0
        }
    }
}

struct VolumeDetachCommand: AgentCommand {
    static let configuration = CommandConfiguration(
        commandName: "detach",
        abstract: "Take a volume from an instance.",
        discussion:
            "One that was attached while the instance runs is taken at once; the others when it is stopped."
    )

    @Argument(help: "The instance.")
    var instance: String

    @Argument(help: "The volume's name or id.")
    var volume: String

    func perform() async throws -> Int32 {
        let (instance, volume) = (instance, volume)
        return try await AgentClient.with { client in
            try await client.call(
                .delete,
                AgentClient.path(instance: instance, AgentClient.path(volume: volume))
            )
            print(instance)
            return 0
        }
    }
}

struct VolumePruneCommand: AgentCommand {
    static let configuration = CommandConfiguration(
        commandName: "prune",
        abstract: "Remove all volumes that no instance has, and what is on them."
    )

    @Flag(name: [.short, .long], help: "Do not ask.")
    var force = false

    func perform() async throws -> Int32 {
        let force = force
        return try await AgentClient.with { client in
            let volumes = try await client.call(.get, "/volumes", as: [VolumeResponse].self)
            let unused = volumes.filter { $0.attachments == nil }
            guard !unused.isEmpty else { return 0 }
            guard try force || Self.confirm(unused) else { return ExitStatus.failure }
            return try await Each.perform(unused.map(\.name)) { name in
                guard let id = unused.first(where: { $0.name == name })?.id else { return }
                do {
                    try await client.call(.delete, AgentClient.path(volume: id))
                } catch let error as AgentRefusal where error.status == 404 {
                    // Somebody else removed it meanwhile.
                }
            }
        }
    }

    private static func confirm(_ volumes: [VolumeResponse]) throws -> Bool {
        guard StandardStreams.isTerminal(STDIN_FILENO) else {
            throw CommandError("nobody can be asked here", remedy: "add --force")
        }
        let names = volumes.map { Table.printable($0.name) }.joined(separator: ", ")
        FileHandle.standardError.write(
            Data("This removes \(names), and what is on them.\nGo on? [y/N] ".utf8)
        )
        return ["y", "yes"].contains((readLine() ?? "").lowercased())
    }
}

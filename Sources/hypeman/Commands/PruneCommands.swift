import AgentAPI
import ArgumentParser
import Foundation

/// `hypeman image …`: what `docker image` has besides the commands at the top.
struct ImageCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "image",
        abstract: "Manage images.",
        subcommands: [
            ImageListCommand.self, PullCommand.self, ImportCommand.self, LoadCommand.self, SaveCommand.self,
            ImagePruneCommand.self, ImageRemoveCommand.self,
        ]
    )
}

/// `images` under the name that it has below `image`.
struct ImageListCommand: AgentCommand {
    static let configuration = CommandConfiguration(commandName: "ls", abstract: "List images.")

    @OptionGroup var command: ImagesCommand

    func perform() async throws -> Int32 { try await command.perform() }
}

/// `rmi` under the name that it has below `image`.
struct ImageRemoveCommand: AgentCommand {
    static let configuration = CommandConfiguration(commandName: "rm", abstract: "Remove images.")

    @OptionGroup var command: RmiCommand

    func perform() async throws -> Int32 { try await command.perform() }
}

/// `hypeman system …`.
struct SystemCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "system",
        abstract: "Look after the agent's disk.",
        subcommands: [DiskUsageCommand.self, SystemPruneCommand.self]
    )
}

struct PruneOptions: ParsableArguments {
    @Flag(name: [.short, .long], help: "Also images that no instance was made from, and not failed ones alone.")
    var all = false

    @Flag(name: [.short, .long], help: "Do not ask.")
    var force = false

    @Flag(help: "Say what would go, and remove nothing.")
    var dryRun = false

    @Option(
        name: .long,
        help: "Only images that fit: until=24h, until=TIME, label=NAME[=VALUE] or label!=NAME[=VALUE]; repeatable."
    )
    var filter: [String] = []

    @Option(help: "How to print: table, json or yaml.")
    var format = OutputFormat.table

    /// Asks whether to go on, where nobody said so before.
    func confirm() throws -> Bool {
        guard !force, !dryRun else { return true }
        guard StandardStreams.isTerminal(STDIN_FILENO) else {
            throw CommandError("nobody can be asked here", remedy: "add --force, or --dry-run to see what would go")
        }
        let what =
            all
            ? "all images that no instance was made from"
            : "images that failed, and data that no image and no instance needs"
        FileHandle.standardError.write(Data("This removes \(what).\nGo on? [y/N] ".utf8))
        return ["y", "yes"].contains((readLine() ?? "").lowercased())
    }

    func perform() async throws -> Int32 {
        guard try confirm() else { return ExitStatus.failure }
        let body = PruneImagesBody(all: all, dryRun: dryRun, filters: filter)
        let format = format
        return try await AgentClient.with { client in
            let answer = try await client.call(.post, "/images/prune", body: body, as: PruneImagesResponse.self)
            guard case .table = format else {
                try format.print(answer) { Table("IMAGE") }
                return 0
            }
            for image in answer.images {
                print("\(answer.dryRun ? "would remove" : "removed") \(Table.printable(image.name))")
            }
            print("\(answer.dryRun ? "Reclaimable" : "Reclaimed") space: \(HumanText.bytes(answer.reclaimed))")
            return 0
        }
    }
}

struct ImagePruneCommand: AgentCommand {
    static let configuration = CommandConfiguration(
        commandName: "prune",
        abstract: "Remove images that nobody uses.",
        discussion: """
            Removes images that failed, and data that no image and no instance needs. Images that an instance was made \
            from stay, also while it is stopped.
            """
    )

    @OptionGroup var options: PruneOptions

    func perform() async throws -> Int32 { try await options.perform() }
}

struct SystemPruneCommand: AgentCommand {
    static let configuration = CommandConfiguration(
        commandName: "prune",
        abstract: "Remove what nobody uses.",
        discussion: "As 'image prune'. Instances stay, stopped ones too: 'hypeman rm' removes them."
    )

    @OptionGroup var options: PruneOptions

    func perform() async throws -> Int32 { try await options.perform() }
}

struct DiskUsageCommand: AgentCommand {
    static let configuration = CommandConfiguration(
        commandName: "df",
        abstract: "Show what images, instances and volumes take of the agent's disk.",
        discussion: """
            ACTIVE are images that an instance was made from, overlays and logs of instances that are not stopped, and \
            volumes that an instance has. RECLAIMABLE is the size of the others: 'image prune --all', 'rm' and 'volume \
            prune' free it.
            """
    )

    @Flag(name: [.short, .long], help: "Show each image, instance and volume.")
    var verbose = false

    @Option(help: "How to print: table, json or yaml.")
    var format = OutputFormat.table

    func perform() async throws -> Int32 {
        let (verbose, format) = (verbose, format)
        return try await AgentClient.with { client in
            let found = try await client.call(.get, "/system/df", as: DiskUsageResponse.self)
            try format.print(found) { Self.table(of: found) }
            guard case .table = format else { return 0 }
            if let limit = found.imageLimit {
                let used = found.images.size + found.downloads.size
                print("\nImages and downloads take \(HumanText.bytes(used)) of at most \(HumanText.bytes(limit)).")
            }
            guard verbose else { return 0 }
            for table in [
                Self.table(of: found.imageList), Self.table(of: found.instanceList), Self.table(of: found.volumeList),
            ] {
                print()
                for line in table.lines { print(line) }
            }
            return 0
        }
    }

    /// A line a kind; separate for its test.
    static func table(of found: DiskUsageResponse) -> Table {
        var table = Table("TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE")
        for (name, category) in [
            ("Images", found.images), ("Downloads", found.downloads), ("Overlays", found.overlays),
            ("Volumes", found.volumes),
            ("Logs", found.logs),
        ] {
            let share =
                category.size == 0 ? "" : " (\(Int(100 * Double(category.reclaimable) / Double(category.size)))%)"
            table.add(
                name,
                "\(category.count)",
                "\(category.active)",
                HumanText.bytes(category.size),
                HumanText.bytes(category.reclaimable) + share
            )
        }
        return table
    }

    private static func table(of images: [DiskUsageResponse.ImageUsage]) -> Table {
        var table = Table("IMAGE", "DIGEST", "CREATED", "SIZE", "SHARED SIZE", "UNIQUE SIZE", "INSTANCES")
        for image in images {
            table.add(
                image.name,
                String(image.digest.dropFirst(7).prefix(12)),
                HumanText.age(of: image.createdAt),
                HumanText.bytes(image.size),
                HumanText.bytes(image.shared),
                HumanText.bytes(image.unique),
                "\(image.instances)"
            )
        }
        return table
    }

    private static func table(of volumes: [DiskUsageResponse.VolumeUsage]) -> Table {
        var table = Table("VOLUME", "SIZE", "USED", "INSTANCES")
        for volume in volumes {
            table.add(
                volume.name,
                HumanText.bytes(volume.size),
                HumanText.bytes(volume.used),
                "\(volume.instances)"
            )
        }
        return table
    }

    private static func table(of instances: [DiskUsageResponse.InstanceUsage]) -> Table {
        var table = Table("INSTANCE", "STATE", "OVERLAY", "LOGS")
        for instance in instances {
            table.add(
                instance.name,
                instance.state,
                HumanText.bytes(instance.overlay),
                HumanText.bytes(instance.logs)
            )
        }
        return table
    }
}

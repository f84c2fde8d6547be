import AgentAPI
import ArgumentParser
import Foundation

struct RunCommand: AgentCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Make an instance of an image and run it.",
        usage: "hypeman run [OPTIONS] IMAGE [COMMAND] [ARG…]",
        discussion: """
            Without -d, prints what the program writes and ends with its exit code. The first ctrl-C stops the \
            instance, the second leaves it running. An image that isn't here is pulled.

            With -i or -t it is tied to the program as attach does it: ctrl-C goes to the program, and on a terminal \
            ctrl-P ctrl-Q leaves it running.
            """
    )
    static var failureStatus: Int32 { ExitStatus.ownFailure }
    /// Seconds that a guest may take to start its program; the agent gives up on one that takes longer.
    private static let bootPatience = 300

    @Flag(name: [.short, .long], help: "Print the instance's id and leave it running.")
    var detach = false

    @Flag(help: "Remove the instance when its program has ended.")
    var rm = false

    @Flag(name: [.short, .long], help: "Keep the program's stdin open, and pass stdin on to it.")
    var interactive = false

    @Flag(name: [.short, .long], help: "Give the program a terminal.")
    var tty = false

    @Option(help: "The instance's name; made up from the image's if left out.")
    var name: String?

    @Option(name: [.short, .long], help: "Set NAME=VALUE for the program; NAME alone takes the value from here.")
    var env: [String] = []

    @Option(help: "A file of variables, one a line.")
    var envFile: [String] = []

    @Option(help: "Virtual processors.")
    var cpus: Int?

    @Option(name: [.short, .long], help: "Memory, as 512MB.")
    var memory: String?

    @Option(help: "Virtual processors that it can be given while it runs.")
    var maxCpus: Int?

    @Option(help: "Memory that it can be given beyond that while it runs, as 3GB.")
    var hotplugSize: String?

    @Option(name: .customLong("disk-io"), help: "How fast its disks are together, as 100MB/s.")
    var diskRate: String?

    @Option(help: "Replaces the image's entrypoint.")
    var entrypoint: String?

    @Option(name: [.short, .long], help: "User, and group after a colon, by name or number.")
    var user: String?

    @Option(name: [.short, .long], help: "Where the program starts.")
    var workdir: String?

    @Option(name: [.short, .long], help: "A tag NAME=VALUE of the instance.")
    var label: [String] = []

    @Option(help: "Room for what the instance writes, as 10GB.")
    var overlaySize: String?

    @Option(help: "qemu or cloud-hypervisor.")
    var hypervisor: String?

    @Option(help: RestartOption.help)
    var restart: RestartOption?

    @OptionGroup var networking: NetworkOptions

    @OptionGroup var volumes: VolumeOptions

    @Argument(
        parsing: .captureForPassthrough,
        help: ArgumentHelp("The image, and what to run instead of its command.", valueName: "image> <command")
    )
    var words: [String] = []

    func validate() throws {
        try Words.check(words, subject: "image", of: Self.self)
        guard !(detach && rm) else {
            throw ValidationError("-d and --rm cannot be used together: nobody would wait for the end.")
        }
        guard restart == nil || detach else {
            throw ValidationError("--restart needs -d: without it the end of the program is the end of the command.")
        }
    }

    func perform() async throws -> Int32 {
        if tty, !detach { try AttachedProgram.checkTerminal() }
        let asked = try body()
        let (detach, rm, volumes) = (detach, rm, try volumes.wanted())
        return try await AgentClient.with { client in
            try await Self.makeReady(asked.image, client)
            var body = asked
            body.volumes = try await volumes.prepare(client)
            let instance = try await client.call(.post, "/instances", body: body, as: InstanceResponse.self)
            guard !detach else {
                print(instance.id)
                return 0
            }
            do {
                guard let status = try await Self.follow(instance, body, client) else {
                    if rm { Self.say("\(instance.name) goes on and is not removed: hypeman rm -f \(instance.name)") }
                    return 0
                }
                if rm { try await Self.remove(instance.id, client) }
                return status
            } catch {
                if rm { try await Self.remove(instance.id, client) }
                throw error
            }
        }
    }

    /// Shows the instance's program to its end.
    ///
    /// - Returns: Its exit code; nil if the user left it.
    private static func follow(
        _ instance: InstanceResponse,
        _ body: CreateInstanceBody,
        _ client: AgentClient
    ) async throws -> Int32? {
        if body.tty == true || body.stdinOpen == true {
            let program = AttachedProgram(
                endpoint: client.endpoint,
                instance: instance.id,
                hasTerminal: body.tty == true,
                sendsInput: body.stdinOpen == true
            )
            switch try await program.run(includesLog: true, patience: bootPatience) {
            case .exited(let status): return status
            case .detached: return nil
            // It was too quick, or could not be started; what there is to say stands in its log.
            case .notRunning: break
            }
        }
        return try await AttachedRun(client: client, id: instance.id).run()
    }

    private static func say(_ text: String) {
        FileHandle.standardError.write(Data("hypeman: \(text)\n".utf8))
    }

    /// What to send; separate for its test.
    func body(environment: [String: String] = ProcessInfo.processInfo.environment) throws -> CreateInstanceBody {
        var body = CreateInstanceBody(name: name ?? InstanceNames.random(for: words[0]), image: words[0])
        let command = Words.command(words)
        body.size = memory
        body.vcpus = cpus
        body.overlaySize = overlaySize
        body.maximumVCPUs = maxCpus
        body.hotplugSize = hotplugSize
        body.diskRate = diskRate
        body.env = try EnvironmentOptions.merge(files: envFile, variables: env, own: environment)
        body.user = user
        body.workingDirectory = workdir
        body.hypervisor = hypervisor
        body.tty = tty ? true : nil
        body.stdinOpen = interactive ? true : nil
        body.network = try networking.body()
        body.restartPolicy = restart?.body
        if let entrypoint, !entrypoint.isEmpty {
            // The image's command was made for its own entrypoint, so it goes with it.
            body.entrypoint = [entrypoint]
            body.cmd = command
        } else if !command.isEmpty {
            body.cmd = command
        }
        body.tags = Self.tags(label)
        return body
    }

    /// Tags as they are written on the command line; nil where there are none.
    static func tags(_ labels: [String]) -> [String: String]? {
        guard !labels.isEmpty else { return nil }
        var tags: [String: String] = [:]
        for label in labels {
            let parts = label.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            tags[String(parts[0])] = parts.count == 2 ? String(parts[1]) : ""
        }
        return tags
    }

    /// Pulls an image that isn't here or failed before, waits for one that is on its way.
    private static func makeReady(_ name: String, _ client: AgentClient) async throws {
        let printer = ProgressPrinter()
        guard let image = try await client.image(name), image.status != "failed" else {
            _ = try await client.pull(name, printer)
            return
        }
        _ = try await client.showProgress(of: image, printer)
    }

    private static func remove(_ id: String, _ client: AgentClient) async throws {
        do {
            try await client.call(.delete, AgentClient.path(instance: id))
        } catch let error as AgentRefusal where error.status == 404 {
            return
        }
    }
}

/// Names for instances that were given none.
enum InstanceNames {
    /// The image's last word and four random characters: `nginx-x7k2`.
    static func random(for image: String) -> String {
        let repository =
            image.split(separator: "@").first?.split(separator: "/").last?.split(separator: ":").first ?? ""
        var base = String(
            repository.lowercased().map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "-" }.prefix(50)
        )
        while base.hasPrefix("-") { base.removeFirst() }
        while base.hasSuffix("-") { base.removeLast() }
        let letters = Array("abcdefghijkmnpqrstuvwxyz23456789")
        let suffix = String((0..<4).map { _ in letters.randomElement() ?? "x" })
        return base.isEmpty ? "instance-\(suffix)" : "\(base)-\(suffix)"
    }
}

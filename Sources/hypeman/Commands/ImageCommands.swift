import AgentAPI
import ArgumentParser
import Foundation

struct PullCommand: AgentCommand {
    static let configuration = CommandConfiguration(
        commandName: "pull",
        abstract: "Get an image from its registry.",
        discussion: """
            The agent uses the registry logins of its own configuration unless it is given one with --username and \
            --password-stdin, which it forgets when the pull has ended.
            """
    )

    @Flag(name: [.short, .long], help: "Print the image's digest only.")
    var quiet = false

    @Option(help: "The registry's user, for this pull only; with --password-stdin.")
    var username: String?

    @Flag(help: "Read that user's password from stdin.")
    var passwordStdin = false

    @Argument(help: "The image, as alpine:3.20 or registry:5000/path@sha256:….")
    var image: String

    func validate() throws {
        guard (username != nil) == passwordStdin else {
            throw ValidationError("--username and --password-stdin go together.")
        }
        guard username?.isEmpty != true, username?.contains(":") != true else {
            throw ValidationError("The user's name must not be empty or contain a colon.")
        }
    }

    func perform() async throws -> Int32 {
        let (image, quiet) = (image, quiet)
        let login = try username.map { RegistryLogin(username: $0, password: try Self.password()) }
        return try await AgentClient.with { client in
            let ready = try await client.pull(image, ProgressPrinter(), login: login)
            print(quiet ? ready.digest : "\(ready.name)@\(ready.digest)")
            return 0
        }
    }
}

extension PullCommand {
    /// All of stdin but the newline at its end, as `docker login` reads it.
    private static func password() throws -> String {
        let limit = 16 << 10
        var bytes = Data()
        while let more = try FileHandle.standardInput.read(upToCount: limit), !more.isEmpty {
            bytes += more
            guard bytes.count <= limit else {
                throw CommandError("the password on stdin is longer than \(limit) bytes")
            }
        }
        while let last = bytes.last, last == 10 || last == 13 { bytes.removeLast() }
        guard !bytes.isEmpty, let password = String(data: bytes, encoding: .utf8) else {
            throw CommandError("there is no password on stdin", remedy: "pipe it in: hypeman pull … < file")
        }
        return password
    }
}

struct ImportCommand: AgentCommand {
    static let configuration = CommandConfiguration(
        commandName: "import",
        abstract: "Make an image from a file.",
        discussion: """
            PATH is an OCI image layout (a directory, or a tar of it), a 'docker save' archive, or the tar of a root \
            filesystem, each tar also compressed with gzip or zstd; '-' reads stdin. NAME may be left out where the \
            archive carries one.
            """
    )

    @Argument(help: "A tar file, an OCI layout directory, or '-'.")
    var path: String

    @Argument(help: "The image's name.")
    var name: String?

    func perform() async throws -> Int32 {
        let (source, name) = (try ArchiveSource(path), name)
        let label = path == "-" ? "stdin" : path
        return try await AgentClient.with { client in
            let ready = try await client.importArchive(source, label: label, name: name)
            print("\(ready.name)@\(ready.digest)")
            return 0
        }
    }
}

struct ImagesCommand: AgentCommand {
    static let configuration = CommandConfiguration(commandName: "images", abstract: "List images.")

    @Flag(name: [.short, .long], help: "Print names only.")
    var quiet = false

    @Option(help: "How to print: table, json or yaml.")
    var format = OutputFormat.table

    func perform() async throws -> Int32 {
        let (quiet, format) = (quiet, format)
        return try await AgentClient.with { client in
            let images = try await client.call(.get, "/images", as: [ImageResponse].self)
            guard !quiet else {
                for image in images { print(image.name) }
                return 0
            }
            try format.print(images) {
                var table = Table("NAME", "DIGEST", "STATUS", "SIZE", "CREATED")
                for image in images {
                    table.add(
                        image.name,
                        String(image.digest.dropFirst(7).prefix(12)),
                        image.status,
                        image.sizeBytes.map(HumanText.bytes) ?? "-",
                        HumanText.age(of: image.createdAt)
                    )
                }
                return table
            }
            return 0
        }
    }
}

struct RmiCommand: AgentCommand {
    static let configuration = CommandConfiguration(commandName: "rmi", abstract: "Remove images.")

    @Flag(name: [.short, .long], help: "An image that isn't there is no failure.")
    var force = false

    @Argument(help: "The images.")
    var images: [String]

    func perform() async throws -> Int32 {
        let (images, force) = (images, force)
        return try await AgentClient.with { client in
            try await Each.perform(images) { name in
                do {
                    try await client.call(.delete, AgentClient.path(image: name))
                } catch let error as AgentRefusal where error.status == 404 && force {
                    return
                }
            }
        }
    }
}

import AgentAPI
import ArgumentParser
import Foundation

struct PullCommand: AgentCommand {
    static let configuration = CommandConfiguration(commandName: "pull", abstract: "Get an image from its registry.")

    @Flag(name: [.short, .long], help: "Print the image's digest only.")
    var quiet = false

    @Argument(help: "The image, as alpine:3.20 or registry:5000/path@sha256:….")
    var image: String

    func perform() async throws -> Int32 {
        let (image, quiet) = (image, quiet)
        return try await AgentClient.with { client in
            let ready = try await client.pull(image, ProgressPrinter())
            print(quiet ? ready.digest : "\(ready.name)@\(ready.digest)")
            return 0
        }
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

import AgentAPI
import ArgumentParser
import Foundation
import SystemPackage

struct SaveCommand: AgentCommand {
    static let configuration = CommandConfiguration(
        commandName: "save",
        abstract: "Write an image to a file.",
        discussion: """
            The file is a tar of an OCI image layout, for 'hypeman load' and 'docker load', and for skopeo as \
            oci-archive:FILE. The image has one layer there and so another digest; what runs of it is the same. For a \
            compressed file write to a pipe: hypeman save IMAGE | gzip > FILE.
            """
    )

    @Option(name: [.short, .long], help: "The file, or '-' for stdout.")
    var output = "-"

    @Argument(help: "The image.")
    var image: String

    func perform() async throws -> Int32 {
        let (image, output) = (image, output)
        guard output != "-" else {
            guard !StandardStreams.isTerminal(STDOUT_FILENO) else {
                throw CommandError(
                    "an archive is not for a terminal",
                    remedy: "name a file with -o, or redirect the output"
                )
            }
            return try await AgentClient.with { client in
                try await client.saveImage(image) { piece, _ in
                    try await StandardStreams.write(piece, to: STDOUT_FILENO)
                }
                return 0
            }
        }
        let file = try SavedFile(output)
        do {
            try await AgentClient.with { client in
                let printer = ProgressPrinter()
                var done = 0
                do {
                    try await client.saveImage(image) { piece, total in
                        try await file.append(piece)
                        done += piece.count
                        try await printer.show("\(image): saving", completed: done, total: total)
                    }
                    try await printer.finish()
                } catch {
                    try await printer.finish()
                    throw error
                }
            }
            try file.keep()
        } catch {
            file.discard()
            throw error
        }
        return 0
    }
}

struct LoadCommand: AgentCommand {
    static let configuration = CommandConfiguration(
        commandName: "load",
        abstract: "Make an image from a file that 'save' wrote.",
        discussion: """
            The file is an archive of 'hypeman save', 'docker save' or skopeo, also compressed with gzip or zstd, and \
            carries the image's name; 'hypeman import' takes one without, too.
            """
    )

    @Option(name: [.short, .long], help: "The file; stdin if it is left out.")
    var input = "-"

    @Flag(name: [.short, .long], help: "Print the image's name only.")
    var quiet = false

    func perform() async throws -> Int32 {
        let (input, quiet) = (input, quiet)
        if input == "-", StandardStreams.isTerminal(STDIN_FILENO) {
            throw CommandError("there is nothing to load", remedy: "name a file with -i, or redirect the input")
        }
        let source = try ArchiveSource(input)
        return try await AgentClient.with { client in
            let ready = try await client.importArchive(source, label: input == "-" ? "stdin" : input, name: nil)
            print(quiet ? ready.name : "Loaded image: \(ready.name)")
            return 0
        }
    }
}

/// A file that is there whole or not at all.
struct SavedFile: Sendable {
    private let path: String
    private let temporary: String
    private let descriptor: FileDescriptor

    init(_ path: String) throws {
        self.path = path
        temporary = "\(path).\(UInt32.random(in: 0...UInt32.max)).part"
        do {
            descriptor = try FileDescriptor.open(
                FilePath(temporary),
                .writeOnly,
                options: [.create, .exclusiveCreate, .closeOnExec],
                permissions: [.ownerReadWrite, .groupRead, .otherRead]
            )
        } catch {
            throw CommandError("cannot write \(path): \(error)")
        }
    }

    func append(_ bytes: [UInt8]) async throws {
        do {
            try await StandardStreams.write(bytes, to: descriptor.rawValue)
        } catch is BrokenOutput {
            throw CommandError("cannot write \(path)", remedy: "is its disk full?")
        }
    }

    /// Gives it its name.
    func keep() throws {
        do {
            try descriptor.close()
            guard rename(temporary, path) == 0 else { throw Errno(rawValue: errno) }
        } catch {
            throw CommandError("cannot write \(path): \(error)")
        }
    }

    func discard() { unlink(temporary) }
}

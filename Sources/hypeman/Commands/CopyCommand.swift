import AgentAPI
import ArgumentParser
import Foundation
import TarTree

struct CopyCommand: AgentCommand {
    static let configuration = CommandConfiguration(
        commandName: "cp",
        abstract: "Copy files between an instance and this host.",
        usage: """
            hypeman cp [-a] [-L] [-q] SOURCE INSTANCE:DESTINATION
            hypeman cp [-a] [-L] [-q] [--devices] INSTANCE:SOURCE DESTINATION
            """,
        discussion: """
            As 'docker cp' does: a file takes the destination's name, or goes into it if that is a directory; of a directory \
            whose path ends in '/.' only what is in it is copied. '-' as SOURCE is a tar archive on stdin, which is unpacked \
            in the directory DESTINATION; '-' as DESTINATION writes one to stdout. A local path with a colon is written with \
            './' before it.

            Rights, times, links, holes and extended attributes are kept. Files belong to root in the instance, and to you \
            here, unless -a keeps their owners, which needs root here. What comes out of an instance is never written \
            outside of DESTINATION. A file is there whole or not at all: those that were copied before a failure stay.
            """
    )

    @Flag(name: [.short, .long], help: "Keep owners, and setuid and setgid bits with them.")
    var archive = false

    @Flag(
        name: [.customShort("L"), .customLong("follow-link"), .customLong("follow-links")],
        help: "If SOURCE is a symbolic link, copy what it leads to."
    )
    var followLink = false

    @Flag(name: [.short, .long], help: "Show no progress.")
    var quiet = false

    @Flag(help: "Make device nodes that an instance has, too; for root.")
    var devices = false

    @Argument(help: ArgumentHelp("What to copy.", valueName: "source"))
    var source: String

    @Argument(help: ArgumentHelp("Where to.", valueName: "destination"))
    var destination: String

    func perform() async throws -> Int32 {
        let (source, destination) = (try CopyPath(source), try CopyPath(destination))
        if devices, geteuid() != 0 {
            throw CommandError("device nodes are for root", remedy: "leave --devices out, or use sudo")
        }
        let copy = FileCopying(
            endpoint: try Endpoint(environment: ProcessInfo.processInfo.environment),
            archive: archive,
            followLink: followLink,
            devices: devices,
            progress: CopyProgress(isShown: !quiet && StandardStreams.isTerminal(STDERR_FILENO))
        )
        let signals = Signals.stream([SIGINT, SIGTERM])
        let warnings = try await withThrowingTaskGroup(of: [String]?.self) { group in
            group.addTask { try await copy.run(source, destination) }
            group.addTask {
                // What was begun is taken back before this program ends.
                for await number in signals {
                    throw CommandError("interrupted", remedy: "what is whole already stays", exitCode: 128 + number)
                }
                return nil
            }
            defer { group.cancelAll() }
            return try await group.next() ?? nil
        }
        for warning in warnings ?? [] { FileHandle.standardError.write(Data("hypeman: \(warning)\n".utf8)) }
        return 0
    }
}

/// How much was copied, for people who watch.
struct CopyProgress: Sendable {
    private let printer: ProgressPrinter?

    init(isShown: Bool) { printer = isShown ? ProgressPrinter() : nil }

    /// Counts what `next` gives.
    func counting(
        _ next: @escaping @Sendable () async throws -> [UInt8]?
    ) -> @Sendable () async throws -> [UInt8]? {
        guard let printer else { return next }
        let count = ByteCount()
        return {
            guard let bytes = try await next() else { return nil }
            try await printer.show("copying", completed: await count.add(bytes.count), total: nil)
            return bytes
        }
    }

    /// Counts what `take` is given.
    func counting(
        _ take: @escaping @Sendable ([UInt8]) async throws -> Void
    ) -> @Sendable ([UInt8]) async throws -> Void {
        guard let printer else { return take }
        let count = ByteCount()
        return { bytes in
            try await take(bytes)
            try await printer.show("copying", completed: await count.add(bytes.count), total: nil)
        }
    }

    func finish() async throws { try await printer?.finish() }

    private actor ByteCount {
        private var count = 0

        func add(_ bytes: Int) -> Int {
            count += bytes
            return count
        }
    }
}

import AgentCore
import AgentTestSupport
import Foundation
import Glibc
import Subprocess
import Synchronization
import SystemPackage
import Testing

@testable import AgentHTTP

/// The real `hypeman cp` with a real server, whose instance `a` has its files in a directory.
@Suite struct CopyCommandTests {
    /// The two sides of copies: `here` is where the command runs.
    struct Sides: Sendable {
        let server: TestServer
        let here: FilePath
        let there: FilePath

        /// What it ended with, and what it said.
        @discardableResult
        func cp(
            _ arguments: String...,
            input: [UInt8] = [],
            code: Int32 = 0,
            at location: Testing.SourceLocation = #_sourceLocation
        ) async throws -> (output: [UInt8], errors: String) {
            let result = try await run(
                .path(BuiltProgram.path("hypeman")),
                arguments: Arguments(["cp"] + arguments),
                environment: .custom(["HYPEMAN_SOCKET": server.socket.string, "PATH": "/usr/bin:/bin"]),
                workingDirectory: here,
                input: .array(input),
                output: .bytes(limit: 64 << 20),
                error: .string(limit: 1 << 20)
            )
            #expect(
                result.terminationStatus == .exited(code),
                "cp \(arguments): \(result.terminationStatus) \(result.standardError)",
                sourceLocation: location
            )
            return (result.standardOutput, result.standardError)
        }

        /// Every path of a side with its contents; a directory ends in a slash.
        static func tree(_ root: FilePath) throws -> [String: String] {
            var tree: [String: String] = [:]
            for path in try FileManager.default.subpathsOfDirectory(atPath: root.string) {
                let full = root.pushing(FilePath(path)).string
                switch try FileManager.default.attributesOfItem(atPath: full)[.type] as? FileAttributeType {
                case .typeDirectory: tree[path + "/"] = ""
                case .typeSymbolicLink:
                    tree[path] = "-> " + (try FileManager.default.destinationOfSymbolicLink(atPath: full))
                default:
                    tree[path] = String(decoding: FileManager.default.contents(atPath: full) ?? Data(), as: UTF8.self)
                }
            }
            return tree
        }
    }

    private static func with(_ body: @escaping @Sendable (Sides) async throws -> Void) async throws {
        try await TestServer.with { server async throws in
            try await Scratch.with { scratch in
                let (here, there) = (scratch.appending("here"), scratch.appending("there"))
                for path in [here, there] { #expect(mkdir(path.string, 0o755) == 0) }
                server.instances.add("a")
                server.instances.script.withLock { $0.files = there }
                try await body(Sides(server: server, here: here, there: there))
            }
        }
    }

    /// A file, a directory with a file in it, and a link to the file.
    private static func fill(_ root: FilePath) throws {
        try Data("file".utf8).write(to: URL(filePath: root.appending("file").string))
        #expect(mkdir(root.appending("dir").string, 0o755) == 0)
        try Data("inner".utf8).write(to: URL(filePath: root.pushing("dir/inner").string))
        #expect(symlink("file", root.appending("link").string) == 0)
        #expect(mkdir(root.appending("empty").string, 0o755) == 0)
    }

    /// docker cp's rules: what is copied, where to, and what is there then.
    static let rules: [(source: String, destination: String, result: [String: String])] = [
        ("file", "new", ["new": "file"]),
        ("file", "target", ["target/": "", "target/file": "file"]),
        ("file", "target/", ["target/": "", "target/file": "file"]),
        ("file", "target/new", ["target/": "", "target/new": "file"]),
        ("file", "old", ["old": "file"]),
        ("dir", "new", ["new/": "", "new/inner": "inner"]),
        ("dir/", "new/", ["new/": "", "new/inner": "inner"]),
        ("dir/.", "new", ["new/": "", "new/inner": "inner"]),
        ("dir", "target", ["target/": "", "target/dir/": "", "target/dir/inner": "inner"]),
        ("dir/", "target", ["target/": "", "target/dir/": "", "target/dir/inner": "inner"]),
        ("dir/.", "target", ["target/": "", "target/inner": "inner"]),
        ("dir/../dir", "new", ["new/": "", "new/inner": "inner"]),
        ("empty", "new", ["new/": ""]),
        ("link", "new", ["new": "-> file"]),
        ("file", "linked", ["target/": "", "target/file": "file", "linked": "-> target"]),
    ]

    private static func prepare(_ root: FilePath, for rule: String, _ result: [String: String]) throws {
        if result["target/"] != nil { #expect(mkdir(root.appending("target").string, 0o755) == 0) }
        if rule == "linked" { #expect(symlink("target", root.appending("linked").string) == 0) }
        if rule == "old" { try Data("old".utf8).write(to: URL(filePath: root.appending("old").string)) }
    }

    @Test(arguments: CopyCommandTests.rules.indices) func dockersRulesHoldOnTheWayIn(index: Int) async throws {
        let rule = Self.rules[index]
        try await Self.with { sides in
            try Self.fill(sides.here)
            try Self.prepare(sides.there, for: rule.destination, rule.result)
            try await sides.cp(rule.source, "a:/\(rule.destination)")
            #expect(try Sides.tree(sides.there) == rule.result, "\(rule)")
        }
    }

    @Test(arguments: CopyCommandTests.rules.indices) func dockersRulesHoldOnTheWayOut(index: Int) async throws {
        let rule = Self.rules[index]
        try await Self.with { sides in
            try Self.fill(sides.there)
            try Self.prepare(sides.here, for: rule.destination, rule.result)
            try await sides.cp("a:/\(rule.source)", rule.destination)
            #expect(try Sides.tree(sides.here) == rule.result, "\(rule)")
        }
    }

    /// What does not go together, and words of the reason.
    static let refusals: [(source: String, destination: String, reason: String)] = [
        ("missing", "new", "missing"), ("file", "new/", "no directory"), ("file/", "new", "file"),
        ("file/.", "new", "file"), ("dir", "file2", "is a file"), ("file", "file2/", "file2"),
        ("file", "none/new", "none"), ("dir", "none/new", "none"), ("file", "file2/new", "file2"),
        ("dir", "target", "target/dir"),
    ]

    @Test(arguments: CopyCommandTests.refusals.indices, [true, false])
    func whatDoesNotGoTogetherIsSaid(index: Int, inwards: Bool) async throws {
        let rule = Self.refusals[index]
        try await Self.with { sides in
            let (source, target) = inwards ? (sides.here, sides.there) : (sides.there, sides.here)
            try Self.fill(source)
            try Data("2".utf8).write(to: URL(filePath: target.appending("file2").string))
            if rule.destination == "target" {
                #expect(mkdir(target.appending("target").string, 0o755) == 0)
                try Data("in the way".utf8).write(to: URL(filePath: target.pushing("target/dir").string))
            }
            let before = try Sides.tree(target)
            let (from, to) =
                inwards ? (rule.source, "a:/\(rule.destination)") : ("a:/\(rule.source)", rule.destination)
            let errors = try await sides.cp(from, to, code: 1).errors
            #expect(errors.contains(rule.reason) && errors.hasPrefix("hypeman: "), "\(rule): \(errors)")
            #expect(try Sides.tree(target) == before)
        }
    }

    @Test func aLinkIsFollowedIfAsked() async throws {
        try await Self.with { sides in
            try Self.fill(sides.here)
            try await sides.cp("-L", "link", "a:/new")
            #expect(try Sides.tree(sides.there) == ["new": "file"])
            try await sides.cp("-L", "a:/new", "back")
            #expect(FileManager.default.contents(atPath: sides.here.appending("back").string) == Data("file".utf8))
        }
    }

    @Test func archivesGoThroughPipes() async throws {
        try await Self.with { sides in
            try Self.fill(sides.there)
            let archive = try await sides.cp("a:/dir", "-").output
            let file = sides.here.appending("dir.tar")
            try Data(archive).write(to: URL(filePath: file.string))
            #expect(try await tool("tar", ["--list", "--file", file.string]) == "dir/\ndir/inner\n")
            #expect(mkdir(sides.there.appending("target").string, 0o755) == 0)
            try await sides.cp("-", "a:/target", input: archive)
            let inner = sides.there.pushing("target/dir/inner").string
            #expect(FileManager.default.contents(atPath: inner) == Data("inner".utf8))
            let nonsense = try await sides.cp("-", "a:/target", input: Array("no archive".utf8), code: 1).errors
            #expect(nonsense.contains("damaged"))
            let nowhere = try await sides.cp("-", "a:/none", input: archive, code: 1).errors
            #expect(nowhere.contains("/none"))
        }
    }

    @Test func oneSideIsAnInstance() async throws {
        try await Self.with { sides in
            try Self.fill(sides.here)
            for (arguments, reason) in [
                (["a:/x", "a:/y"], "from one instance to another"), (["file", "new"], "neither path"),
                (["-", "-"], "neither path"), ([":/x", "y"], "names no instance"),
                (["none:/x", "y"], "none"),
            ] {
                let errors = try await sides.cp(arguments[0], arguments[1], code: 1).errors
                #expect(errors.contains(reason), "\(arguments): \(errors)")
            }
            // With a dot before it, a name with a colon is a file here.
            try Data("colon".utf8).write(to: URL(filePath: sides.here.appending("b:c").string))
            try await sides.cp("./b:c", "a:/")
            #expect(try Sides.tree(sides.there) == ["b:c": "colon"])
        }
    }

    @Test func ownersComeWithThemOnlyIfAsked() async throws {
        try await Self.with { sides in
            let file = sides.here.appending("file").string
            try Data("x".utf8).write(to: URL(filePath: file))
            #expect(chown(file, 1234, 2345) == 0 && chmod(file, 0o4755) == 0)
            func there(_ name: String, _ root: FilePath) throws -> [Int] {
                let attributes = try FileManager.default.attributesOfItem(atPath: root.appending(name).string)
                return [FileAttributeKey.ownerAccountID, .groupOwnerAccountID, .posixPermissions].map { key in
                    (attributes[key] as? NSNumber)?.intValue ?? -1
                }
            }
            try await sides.cp("file", "a:/plain")
            #expect(try there("plain", sides.there) == [0, 0, 0o755])
            try await sides.cp("-a", "file", "a:/owned")
            #expect(try there("owned", sides.there).prefix(2) == [1234, 2345])
            try await sides.cp("a:/owned", "plain")
            #expect(try there("plain", sides.here).prefix(2) == [0, 0])
            try await sides.cp("-a", "a:/owned", "owned")
            #expect(try there("owned", sides.here).prefix(2) == [1234, 2345])
        }
    }

    @Test func anInterruptedCopyOutLeavesNoHalf() async throws {
        try await Self.with { sides in
            let file = sides.there.appending("large")
            let descriptor = try FileDescriptor.open(file, .writeOnly, options: .create, permissions: .ownerReadWrite)
            try descriptor.closeAfter { _ = try descriptor.writeAll(repeatElement(1, count: 200 << 20)) }
            let process = Process()
            process.executableURL = URL(filePath: BuiltProgram.path("hypeman").string)
            process.arguments = ["cp", "-q", "a:/large", "copy"]
            process.environment = ["HYPEMAN_SOCKET": sides.server.socket.string]
            process.currentDirectoryURL = URL(filePath: sides.here.string)
            process.standardError = FileHandle.nullDevice
            let (ended, end) = AsyncStream.makeStream(of: Void.self)
            process.terminationHandler = { _ in end.finish() }
            try process.run()
            while try FileManager.default.contentsOfDirectory(atPath: sides.here.string).isEmpty, process.isRunning {
                await Task.yield()
            }
            kill(process.processIdentifier, SIGINT)
            for await _ in ended {}
            // It may have been done before it heard of that; otherwise nothing is left.
            let left = try FileManager.default.contentsOfDirectory(atPath: sides.here.string).sorted()
            #expect(process.terminationStatus == 0 ? left == ["copy"] : left == [])
            #expect(process.terminationStatus == 0 || process.terminationStatus == 130)
        }
    }
}

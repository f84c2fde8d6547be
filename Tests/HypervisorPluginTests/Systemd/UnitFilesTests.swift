import AgentCore
import AgentTestSupport
import Foundation
import Subprocess
import SystemPackage
import Testing

@testable import HypervisorPlugin

/// Real files, and the real program that reads the description.
struct UnitFilesTests {
    private static func specification(
        _ scratch: Scratch,
        _ arguments: [String],
        files: [ProcessFile] = []
    ) throws -> ProcessSpecification {
        let directory = scratch.appending("run").string
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        return ProcessSpecification(
            executable: "/bin/sh",
            arguments: arguments,
            environment: ["A": "one two", "PATH": "/usr/bin:/bin"],
            workingDirectory: "/usr",
            outputFile: scratch.appending("run/output"),
            mark: "mark",
            files: files
        )
    }

    private func mode(_ path: FilePath) throws -> Int {
        let attributes = try FileManager.default.attributesOfItem(atPath: path.string)
        return try #require(attributes[.posixPermissions] as? Int)
    }

    private func execute(_ scratch: Scratch) async throws -> TerminationStatus {
        try await run(
            .path(BuiltProgram.path("hypeman-exec")),
            arguments: [scratch.appending("run/process").string],
            output: .discarded,
            error: .discarded
        ).terminationStatus
    }

    @Test func theProgramIsWhatWasDescribed() async throws {
        try await Scratch.with { scratch in
            let script = #"echo "$0|$1|$A|$PWD"; echo oops >&2; ls /proc/self/fd | tr '\n' ' '; exit 7"#
            let specification = try Self.specification(scratch, ["-c", script, "", "x\ny 'z"])
            try await UnitFiles(dataDirectory: scratch.path, instance: nil).prepare(specification)
            #expect(try await execute(scratch) == .exited(7))
            let said = try String(contentsOfFile: specification.outputFile.string, encoding: .utf8)
            #expect(said == "|x\ny 'z|one two|/usr\noops\n0 1 2 3 ")
        }
    }

    @Test func aProgramThatIsNotThereIsSaidInTheOutput() async throws {
        try await Scratch.with { scratch in
            var specification = try Self.specification(scratch, [])
            specification.executable = "/nonexistent"
            try await UnitFiles(dataDirectory: scratch.path, instance: nil).prepare(specification)
            #expect(try await execute(scratch) == .exited(127))
            let said = try String(contentsOfFile: specification.outputFile.string, encoding: .utf8)
            #expect(said == "hypeman-exec: cannot execute /nonexistent: No such file or directory\n")
        }
    }

    @Test(arguments: ["", "x/bin/sh\0", "o/tmp/x\0d/\0x/bin/sh\0ash", "?\0", "o/nonexistent/y\0d/\0x/bin/sh\0ash\0"])
    func aDescriptionThatIsNoneRunsNothing(_ text: String) async throws {
        try await Scratch.with { scratch in
            _ = try Self.specification(scratch, [])
            try Data(text.utf8).write(to: URL(fileURLWithPath: scratch.appending("run/process").string))
            #expect(try await execute(scratch) == .exited(65))
        }
    }

    @Test func anArgumentWithANULIsRefused() async throws {
        try await Scratch.with { scratch in
            let specification = try Self.specification(scratch, ["a\0xb"])
            #expect(throws: AgentError.self) { try UnitFiles.description(of: specification) }
        }
    }

    /// What a VM makes is the agent's only as files, and nothing of a failure stays.
    @Test func filesThatAVMMakesAreMovedToTheAgents() async throws {
        try await Scratch.with { scratch in
            let data = scratch.appending("data")
            let target = try scratch.directory("target")
            let instance = InstanceID.random()
            let mirror = data.appending("vms").appending(instance.rawValue)
            try FileManager.default.createDirectory(atPath: data.string, withIntermediateDirectories: true)
            let files = UnitFiles(dataDirectory: data, instance: instance)
            try await files.prepare(try Self.specification(scratch, []))
            // As the VM has it: in place of the data directory.
            @Sendable func inside(_ path: FilePath) -> FilePath {
                mirror.appending(path.components.dropFirst(data.components.count))
            }
            let outbox = mirror.appending(".written")
            try await files.collect(into: target) { path in
                let inside = inside(path)
                #expect(inside == outbox)
                #expect(try mode(inside) == 0o770)
                try Data("x".utf8).write(to: URL(fileURLWithPath: inside.appending("memory").string))
            }
            #expect(try String(contentsOfFile: target.appending("memory").string, encoding: .utf8) == "x")
            #expect(!FileManager.default.fileExists(atPath: outbox.string))

            struct Refusal: Error {}
            await #expect(throws: Refusal.self) {
                try await files.collect(into: target) { path in
                    try Data("y".utf8).write(to: URL(fileURLWithPath: inside(path).appending("half").string))
                    throw Refusal()
                }
            }
            let link = await #expect(throws: AgentError.self) {
                try await files.collect(into: target) { path in
                    try FileManager.default.createSymbolicLink(
                        atPath: inside(path).appending("config").string,
                        withDestinationPath: "/etc/passwd"
                    )
                }
            }
            #expect(link?.kind == .unavailable)
            #expect(try FileManager.default.contentsOfDirectory(atPath: target.string) == ["memory"])
            #expect(!FileManager.default.fileExists(atPath: outbox.string))
        }
    }

    @Test func aVMFindsItsOwnFilesUnderTheirPaths() async throws {
        try await Scratch.with { scratch in
            let instance = InstanceID.random()
            let data = scratch.appending("data")
            let disk = data.appending("instances/a/overlay.ext4")
            let root = data.appending("disks/b.erofs")
            for path in [disk, root] {
                try FileManager.default.createDirectory(
                    atPath: path.removingLastComponent().string,
                    withIntermediateDirectories: true
                )
                #expect(
                    FileManager.default.createFile(
                        atPath: path.string,
                        contents: Data("x".utf8),
                        attributes: [.posixPermissions: 0o600]
                    )
                )
            }
            let given = [
                ProcessFile(path: disk, isWritable: true), ProcessFile(path: root, isWritable: false),
                ProcessFile(path: "/bin/sh", isWritable: false),
            ]
            let files = UnitFiles(dataDirectory: data, instance: instance)
            let specification = try Self.specification(scratch, [], files: given)
            // Twice: what an earlier start left is replaced.
            for _ in 0..<2 { try await files.prepare(specification) }
            let mirror = data.appending("vms").appending(instance.rawValue)
            #expect(
                Set(try FileManager.default.subpathsOfDirectory(atPath: mirror.string)) == [
                    "instances", "instances/a", "instances/a/overlay.ext4", "disks", "disks/b.erofs",
                ]
            )
            #expect(try mode(disk) == 0o660)
            #expect(try mode(root) == 0o640)
            #expect(try mode(mirror) == 0o750)
            #expect(try mode(scratch.appending("run")) == 0o1770)
            #expect(try mode(specification.outputFile) == 0o660)
            try Data("y".utf8).write(to: URL(fileURLWithPath: mirror.appending("instances/a/overlay.ext4").string))
            #expect(try String(contentsOfFile: disk.string, encoding: .utf8) == "y")

            let volume = data.appending("v")
            #expect(FileManager.default.createFile(atPath: volume.string, contents: nil))
            for _ in 0..<2 { try await files.permit([ProcessFile(path: volume, isWritable: true)]) }
            #expect(FileManager.default.fileExists(atPath: mirror.appending("v").string))
            let missing = await #expect(throws: AgentError.self) {
                try await files.permit([ProcessFile(path: data.appending("none"), isWritable: true)])
            }
            #expect(missing?.kind == .unavailable)
            // No way out of the directory by a link.
            let link = data.appending("l").string
            try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: "/bin/sh")
            await #expect(throws: AgentError.self) {
                try await files.permit([ProcessFile(path: data.appending("l"), isWritable: false)])
            }

            // A file that was replaced is replaced for the VM, and what is taken back leaves no link that keeps its room.
            try FileManager.default.removeItem(atPath: volume.string)
            #expect(FileManager.default.createFile(atPath: volume.string, contents: Data("new".utf8)))
            let replaced = ProcessFile(path: volume, isWritable: true)
            try await files.permit([replaced])
            #expect(try String(contentsOfFile: mirror.appending("v").string, encoding: .utf8) == "new")
            for _ in 0..<2 { try await files.forbid([replaced, ProcessFile(path: "/bin/sh", isWritable: false)]) }
            #expect(!FileManager.default.fileExists(atPath: mirror.appending("v").string))
            #expect(FileManager.default.fileExists(atPath: volume.string))

            #expect(try await UnitFiles.instances(in: data) == [instance])
            for _ in 0..<2 { try await files.removeAll() }
            #expect(!FileManager.default.fileExists(atPath: mirror.string))
            #expect(try String(contentsOfFile: disk.string, encoding: .utf8) == "y")
        }
    }
}

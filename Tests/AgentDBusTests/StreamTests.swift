import AgentCore
import AgentTestSupport
import DBus
import Foundation
import Glibc
import GuestProtocol
import SystemPackage
import Tar
import Testing

@testable import AgentDBus

/// Commands, terminals, logs and archives through descriptors.
@Suite(.serialized) struct StreamTests {
    /// Opens a command; its streams and its object.
    private func exec(
        _ world: BusWorld,
        _ instance: ObjectPath,
        _ arguments: [String],
        by caller: Connection? = nil
    ) async throws -> (stdin: CallerEnd, stdout: CallerEnd, stderr: CallerEnd, process: ObjectPath) {
        let reply = try await world.call(
            "Instance",
            "OpenExec",
            at: instance,
            arguments.dbusValue,
            .properties([]),
            by: caller
        )
        guard reply.count == 4, case .objectPath(let process) = reply[3] else {
            throw ToolFailure(description: "\(reply)")
        }
        return (try CallerEnd(reply[0]), try CallerEnd(reply[1]), try CallerEnd(reply[2]), process)
    }

    @Test func aCommandsOutputAndEndArrive() async throws {
        var behaviour = GuestBehaviour()
        behaviour.exec = { request in
            request.program.arguments == ["two"]
                ? .finishes(stdout: "out", stderr: "err", exit: GuestExit(code: 3))
                : GuestBehaviour.standardCommand(request)
        }
        try await BusWorld.with(behaviour: behaviour) { world async throws in
            let instance = try await world.makeInstance("web")
            let command = try await exec(world, instance, ["two"])
            #expect(try await command.stdout.readToEnd() == Data("out".utf8))
            #expect(try await command.stderr.readToEnd() == Data("err".utf8))
            let exit = try await world.call("Process", "Wait", at: command.process)
            #expect(exit == [.int32(3), .int32(0), .string("")])
            let gone = await #expect(throws: DBusError.self) {
                try await world.call("Process", "Wait", at: command.process)
            }
            #expect(gone?.is(.unknownObject) == true)
        }
    }

    @Test func megabytesGoThroughWhole() async throws {
        try await BusWorld.with { world async throws in
            let instance = try await world.makeInstance("web")
            let command = try await exec(world, instance, ["cat"])
            var generator = SystemRandomNumberGenerator()
            let data = Data((0..<(8 << 20)).map { _ in UInt8(truncatingIfNeeded: generator.next()) })
            let received = Task { try await command.stdout.readToEnd() }
            try await command.stdin.write(data)
            try await command.stdin.close()
            #expect(try await received.value == data)
            #expect(try await world.call("Process", "Wait", at: command.process).first == .int32(0))
        }
    }

    @Test func archivesGoInAndComeOut() async throws {
        try await BusWorld.with { world async throws in
            let instance = try await world.makeInstance("web")
            let contents = [UInt8](repeating: 7, count: 3 << 20)
            let archive = TarMember.file("f", contents) + TarMember.end
            try await Scratch.with { scratch in
                let path = scratch.appending("in.tar")
                try Data(archive).write(to: URL(filePath: path.string))
                let file = try SystemPackage.FileDescriptor.open(path, .readOnly)
                let held = UnixDescriptor(owning: file.rawValue)
                try await world.call(
                    "Instance",
                    "CopyTo",
                    at: instance,
                    .descriptor(held),
                    .string("/tmp"),
                    .properties([("KeepOwners", .boolean(true))]),
                    .uint64(1)
                )
            }
            let reply = try await world.call("Instance", "CopyFrom", at: instance, .string("/tmp/f"), .properties([]))
            let copied = try await CallerEnd(reply[0]).readToEnd()
            #expect(copied.range(of: Data(contents)) != nil)
            #expect(copied.suffix(1024) == Data(repeating: 0, count: 1024), "it is whole")
            let missing = await #expect(throws: DBusError.self) {
                try await world.call("Instance", "CopyFrom", at: instance, .string("/none"), .properties([]))
            }
            #expect(kind(of: missing) == .notFound)
            let relative = await #expect(throws: DBusError.self) {
                try await world.call("Instance", "CopyFrom", at: instance, .string("none"), .properties([]))
            }
            #expect(kind(of: relative) == .invalidArgument)
        }
    }

    @Test func aTerminalIsOneFile() async throws {
        try await BusWorld.with { world async throws in
            let instance = try await world.makeInstance("web")
            let reply = try await world.call(
                "Instance",
                "OpenPTY",
                at: instance,
                ["cat"].dbusValue,
                .properties([("Rows", .uint32(50))])
            )
            guard case .objectPath(let process)? = reply.last else {
                Issue.record("\(reply)")
                return
            }
            let terminal = try CallerEnd(reply[0])
            try await terminal.write(Data("hello".utf8))
            #expect(try await terminal.read(5) == "hello")
            try await world.call("Process", "Resize", at: process, .uint32(10), .uint32(20))
            let bad = await #expect(throws: DBusError.self) {
                try await world.call("Process", "Resize", at: process, .uint32(0), .uint32(20))
            }
            #expect(kind(of: bad) == .invalidArgument)
            try await world.call("Process", "Signal", at: process, .int32(15))
            #expect(try await world.call("Process", "Wait", at: process) == [.int32(143), .int32(15), .string("")])
        }
    }

    @Test func aCommandEndsWithItsCallerAndIsNobodyElses() async throws {
        try await BusWorld.with { world async throws in
            let instance = try await world.makeInstance("web")
            let command = try await world.withClient { other async throws in
                let command = try await exec(world, instance, ["sleep", "1000"], by: other)
                let signal = await #expect(throws: DBusError.self) {
                    try await world.call("Process", "Signal", at: command.process, .int32(9))
                }
                #expect(kind(of: signal) == .permissionDenied)
                let wait = await #expect(throws: DBusError.self) {
                    try await world.call("Process", "Wait", at: command.process)
                }
                #expect(kind(of: wait) == .permissionDenied)
                return command
            }
            // The pipe's end is the command's: nothing else closes it.
            #expect(try await command.stdout.readToEnd() == Data())
            // Its object goes, too, a moment before or after.
            var error: DBusError?
            repeat {
                error = await #expect(throws: DBusError.self) {
                    try await world.call("Process", "Signal", at: command.process, .int32(9))
                }
            } while kind(of: error) == .permissionDenied
            #expect(error?.is(.unknownObject) == true || kind(of: error) == .notFound)
        }
    }

    @Test func aCallerHasSoManyAndNoMore() async throws {
        try await BusWorld.with { world async throws in
            let instance = try await world.makeInstance("web")
            try await world.withClient { other async throws in
                var commands: [ObjectPath] = []
                for _ in 0..<64 { commands.append(try await exec(world, instance, ["sleep", "9"], by: other).process) }
                let error = await #expect(throws: DBusError.self) {
                    try await exec(world, instance, ["sleep"], by: other)
                }
                #expect(kind(of: error) == .quotaExceeded)
                _ = try await exec(world, instance, ["true"])
                try await world.call("Process", "Signal", at: commands[0], .int32(9), by: other)
                try await world.call("Process", "Wait", at: commands[0], by: other)
                _ = try await exec(world, instance, ["true"], by: other)
            }
        }
    }

    @Test func logsArriveAndEnd() async throws {
        var behaviour = GuestBehaviour()
        behaviour.output = "one\ntwo\nthree\n"
        try await BusWorld.with(behaviour: behaviour) { world async throws in
            let instance = try await world.makeInstance("web")
            try await world.call("Instance", "Stop", at: instance, .uint64(0), .uint64(1))
            func log(_ options: [(String, Value)]) async throws -> String {
                let reply = try await world.call("Instance", "OpenLogs", at: instance, .properties(options))
                return String(decoding: try await CallerEnd(reply.first).readToEnd(), as: UTF8.self)
            }
            #expect(try await log([]) == "one\ntwo\nthree\n")
            #expect(try await log([("Tail", .uint64(1))]) == "three\n")
            #expect(try await log([("Follow", .boolean(true))]) == "one\ntwo\nthree\n")
            let error = await #expect(throws: DBusError.self) { try await log([("Source", .string("kitchen"))]) }
            #expect(kind(of: error) == .invalidArgument)
        }
    }

    @Test func theConsoleArrivesAndEndsWithTheRun() async throws {
        var behaviour = GuestBehaviour()
        behaviour.console = "one\ntwo\n"
        try await BusWorld.with(behaviour: behaviour) { world async throws in
            let instance = try await world.makeInstance("web")
            func console(_ options: [(String, Value)]) async throws -> CallerEnd {
                let reply = try await world.call("Instance", "OpenConsole", at: instance, .properties(options))
                return try CallerEnd(reply.first)
            }
            let whole = try await console([])
            #expect(try await whole.read(8) == "one\ntwo\n")
            let last = try await console([("Tail", .uint64(1))])
            #expect(try await last.read(4) == "two\n")
            let leaving = try await console([])
            try await leaving.close()
            try await world.call("Instance", "Stop", at: instance, .uint64(0), .uint64(1))
            #expect(try await whole.readToEnd() == Data())
            #expect(try await last.readToEnd() == Data())
            let odd = try await world.refusal("Instance", "OpenConsole", at: instance, .properties([("X", .byte(1))]))
            #expect(odd.kind == .invalidArgument, "\(odd)")
        }
    }

    @Test func attachingIsTheProgramsOwnStreamsAndLeavingLeavesIt() async throws {
        var behaviour = GuestBehaviour()
        behaviour.input = .echoed
        try await BusWorld.with(behaviour: behaviour) { world async throws in
            let instance = try await world.makeInstance("web", [("OpenStdin", .boolean(true))])
            func attach(by caller: Connection? = nil) async throws -> (CallerEnd, CallerEnd, ObjectPath) {
                let reply = try await world.call("Instance", "OpenAttach", at: instance, .properties([]), by: caller)
                guard reply.count == 4, case .objectPath(let process) = reply[3] else {
                    throw ToolFailure(description: "\(reply)")
                }
                return (try CallerEnd(reply[0]), try CallerEnd(reply[1]), process)
            }
            let (input, output, process) = try await attach()
            try await input.write(Data("hello\n".utf8))
            #expect(try await output.read(6) == "hello\n")
            // Neither who closes its input nor who vanishes ends the program's.
            try await input.close()
            let end = try await world.withClient { other async throws in
                let (input, output, _) = try await attach(by: other)
                try await input.write(Data("again\n".utf8))
                #expect(try await output.read(6) == "again\n")
                return output
            }
            #expect(try await end.readToEnd() == Data())
            let (third, heard, _) = try await attach()
            try await third.write(Data("still\n".utf8))
            #expect(try await heard.read(6) == "still\n")
            try await world.call("Process", "Signal", at: process, .int32(15))
            #expect(try await world.call("Process", "Wait", at: process).prefix(2) == [.int32(143), .int32(15)])

            let plain = try await world.makeInstance("plain")
            let refusal = try await world.refusal("Instance", "OpenAttach", at: plain, .properties([]))
            #expect(refusal.kind == .notSupported && refusal.text.contains("not_attachable"), "\(refusal)")
        }
    }

    @Test func anImageGoesOutAsAFile() async throws {
        try await BusWorld.with { world async throws in
            let reply = try await world.call("Image", "OpenArchive", at: .image(AgentWorld.imageName))
            let archive = try await CallerEnd(reply.first).readToEnd()
            #expect(String(decoding: archive, as: UTF8.self).hasPrefix(AgentWorld.imageName))
            #expect(reply.last == .uint64(UInt64(archive.count)))
        }
    }

    @Test func aStoppedInstanceRunsNoCommand() async throws {
        try await BusWorld.with { world async throws in
            let instance = try await world.makeInstance("web")
            try await world.call("Instance", "Stop", at: instance, .uint64(0), .uint64(1))
            let error = await #expect(throws: DBusError.self) { try await exec(world, instance, ["true"]) }
            #expect(kind(of: error) == .invalidState)
            let kill = await #expect(throws: DBusError.self) {
                try await world.call("Instance", "Kill", at: instance, .int32(15))
            }
            #expect(kind(of: kill) == .invalidState)
            let number = await #expect(throws: DBusError.self) {
                try await world.call("Instance", "Kill", at: instance, .int32(65))
            }
            #expect(kind(of: number) == .invalidArgument)
        }
    }

    @Test func anArchiveComesAsAFileOrAPipe() async throws {
        try await BusWorld.with { world async throws in
            try await Scratch.with { scratch async throws in
                world.world.pictures.receiveArchives(in: scratch.path)
                let data = Data((0..<(3 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31) })
                let file = try scratch.write(Array(data), to: "given.tar")
                try await world.call(
                    "Manager",
                    "ImportImage",
                    .descriptor(UnixDescriptor(owning: open(file.string, O_RDONLY))),
                    .properties([("Name", .string("mine"))]),
                    .uint64(1)
                )
                #expect(try Data(contentsOf: URL(filePath: scratch.appending("archive-1").string)) == data)
                #expect(
                    try await world.call("Manager", "GetImage", .string("mine"))
                        == [.objectPath(.image("docker.io/library/mine:latest"))]
                )
                var ends: [Int32] = [-1, -1]
                #expect(pipe(&ends) == 0)
                let writer = FileHandle(fileDescriptor: ends[1], closeOnDealloc: true)
                let writing = Task.detached {
                    try writer.write(contentsOf: data)
                    try writer.close()
                }
                // Without a name, and this archive has none either.
                let error = await #expect(throws: DBusError.self) {
                    try await world.call(
                        "Manager",
                        "ImportImage",
                        .descriptor(UnixDescriptor(owning: ends[0])),
                        .properties([]),
                        .uint64(1)
                    )
                }
                #expect(kind(of: error) == .invalidArgument && error?.message.contains("invalid_name") == true)
                try await writing.value
                #expect(try Data(contentsOf: URL(filePath: scratch.appending("archive-2").string)) == data)
                let device = await #expect(throws: DBusError.self) {
                    try await world.call(
                        "Manager",
                        "ImportImage",
                        .descriptor(UnixDescriptor(owning: open("/dev/zero", O_RDONLY))),
                        .properties([]),
                        .uint64(0)
                    )
                }
                #expect(kind(of: device) == .invalidArgument)
            }
        }
    }
}

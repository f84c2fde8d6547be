import AgentTestSupport
import DBus
import Foundation
import Glibc
import SystemPackage
import Testing

@testable import AgentCore
@testable import AgentDBus

/// Volumes over D-Bus alone.
@Suite(.serialized) struct VolumeTests {
    private func property(_ name: String, of volume: ObjectPath, _ world: BusWorld) async throws -> Value {
        try await world.client.property(name, of: AgentInterface.volume, at: volume, AgentBus.name)
    }

    private static func attachment(_ instance: ObjectPath, _ path: String, readOnly: Bool = false) -> Value {
        .structure([.objectPath(instance), .string(path), .boolean(readOnly)])
    }

    @Test func aVolumeLivesAndChangesAreTold() async throws {
        try await BusWorld.with { world async throws in
            let objects = try await world.client.signals(
                MatchRule(sender: AgentBus.name, interface: "org.freedesktop.DBus.ObjectManager")
            )
            let changes = try await world.client.signals(
                MatchRule(sender: AgentBus.name, member: "PropertiesChanged", firstArgument: AgentInterface.volume)
            )
            let volume = try await world.makeVolume("data", [("Labels", ["team": "blue"].dbusValue)])
            #expect(try await property("Name", of: volume, world) == .string("data"))
            #expect(try await property("Labels", of: volume, world) == ["team": "blue"].dbusValue)
            for try await signal in objects where signal.arguments.first == .objectPath(volume) {
                #expect(signal.member == "InterfacesAdded")
                break
            }
            #expect(try await world.object("Manager", "GetVolume", .string("data")) == volume)
            let list = try await world.call("Manager", "ListVolumes", .properties([("Name", .string("data"))]))
            guard case .array(_, let entries)? = list.first else { throw ToolFailure(description: "\(list)") }
            #expect(entries.compactMap { ListEntry($0)?.path } == [volume])
            let none = try await world.call("Manager", "ListVolumes", .properties([("Name", .string("dat"))]))
            #expect(none == [.array(element: "(osa{sv})", [])])

            let instance = try await world.makeInstance("web")
            try await world.call(
                "Instance",
                "AttachVolume",
                at: instance,
                .objectPath(volume),
                .string("/data"),
                .properties([]),
                .uint64(1)
            )
            let attached = Value.array(element: "(osb)", [Self.attachment(instance, "/data")])
            // Who was told of the operation's end finds it there already.
            #expect(try await property("Attachments", of: volume, world) == attached)
            let mounts = Value.array(
                element: "(osbt)",
                [.structure([.objectPath(volume), .string("/data"), .boolean(false), .uint64(0)])]
            )
            #expect(try await world.property("Volumes", of: instance) == mounts)
            let used = try await world.refusal("Volume", "Delete", at: volume)
            #expect(used.kind == .invalidState && used.text.contains("web"), "\(used)")
            let running = try await world.refusal("Volume", "Grow", at: volume, .uint64(2 << 30), .uint64(1))
            #expect(running.kind == .invalidState, "\(running)")
            try await world.call("Instance", "DetachVolume", at: instance, .objectPath(volume), .uint64(1))
            #expect(try await property("Attachments", of: volume, world) == .array(element: "(osb)", []))
            try await world.call("Volume", "Grow", at: volume, .uint64(2 << 30), .uint64(1))
            #expect(try await property("Size", of: volume, world) == .uint64(2 << 30))
            var told: [String: Value] = [:]
            for try await signal in changes where signal.path == volume {
                for (name, value) in [String: Variant](signal.arguments[1]) ?? [:] { told[name] = value.value }
                if told["Size"] == .uint64(2 << 30) { break }
            }
            #expect(told["Attachments"] == .array(element: "(osb)", []))

            try await world.call("Volume", "Delete", at: volume)
            for try await signal in objects where signal.member == "InterfacesRemoved" {
                guard signal.arguments.first == .objectPath(volume) else { continue }
                break
            }
            let gone = try await world.refusal("Volume", "Delete", at: volume)
            #expect(gone.kind == nil && gone.text.contains("UnknownObject"), "\(gone)")
        }
    }

    @Test func anInstanceIsMadeWithVolumesAndItsDeletionLetsThemGo() async throws {
        try await BusWorld.with { world async throws in
            let volume = try await world.makeVolume("data")
            let wanted = Value.structure([.string("data"), .string("/srv"), .boolean(true), .uint64(256 << 20)])
            let instance = try await world.makeInstance("web", [("Volumes", .array(element: "(ssbt)", [wanted]))])
            #expect(
                try await property("Attachments", of: volume, world)
                    == .array(element: "(osb)", [Self.attachment(instance, "/srv", readOnly: true)])
            )
            try await world.call("Instance", "Delete", at: instance, .uint64(1))
            #expect(try await property("Attachments", of: volume, world) == .array(element: "(osb)", []))
        }
    }

    @Test func whatIsWrongWithARequestIsSaid() async throws {
        try await BusWorld.with { world async throws in
            let (name, size) = (("Name", Value.string("data")), ("Size", Value.uint64(1 << 30)))
            let wrong: [([(String, Value)], AgentError.Kind, String)] = [
                ([name], .invalidArgument, "missing_field"), ([size], .invalidArgument, "missing_field"),
                ([("Name", .string("../x")), size], .invalidArgument, "invalid_name"),
                ([name, size, ("Id", .string("../x"))], .invalidArgument, "invalid_id"),
                ([name, ("Size", .uint64(1))], .invalidArgument, "invalid_size"),
                ([name, ("Size", .uint64(.max))], .invalidArgument, "invalid_field"),
                ([name, ("Size", .uint64(UInt64(Int.max)))], .invalidArgument, "invalid_size"),
                ([name, ("Size", .string("1GB"))], .invalidArgument, "invalid_field"),
                ([name, size, ("Shape", .string("round"))], .invalidArgument, "unknown_field"),
                ([name, ("Size", .uint64(200 << 30))], .quotaExceeded, "MAX_TOTAL_VOLUME_STORAGE"),
            ]
            for (specification, kind, word) in wrong {
                let refusal = try await world.refusal("Manager", "CreateVolume", .properties(specification))
                #expect(refusal.kind == kind && refusal.text.contains(word), "\(specification): \(refusal)")
            }
            let volume = try await world.makeVolume("data")
            let taken = try await world.refusal("Manager", "CreateVolume", .properties([name, size]))
            #expect(taken.kind == .alreadyExists && taken.text.contains("name_conflict"), "\(taken)")
            let smaller = try await world.refusal("Volume", "Grow", at: volume, .uint64(512 << 20), .uint64(1))
            #expect(smaller.kind == .invalidArgument, "\(smaller)")

            let instance = try await world.makeInstance("web")
            func attach(_ path: ObjectPath, _ mount: String, _ options: [(String, Value)] = []) async throws -> (
                kind: AgentError.Kind?, text: String
            ) {
                try await world.refusal(
                    "Instance",
                    "AttachVolume",
                    at: instance,
                    .objectPath(path),
                    .string(mount),
                    .properties(options),
                    .uint64(1)
                )
            }
            // A path names one volume and nothing that merely has its name.
            #expect(try await attach(.volume(try VolumeID("data")), "/d").kind == .notFound)
            #expect(try await attach(instance, "/d").kind == .invalidArgument)
            #expect(try await attach(volume, "d").text.contains("invalid_mount_path"))
            #expect(try await attach(volume, "/a/../b").text.contains("invalid_mount_path"))
            #expect(try await attach(volume, "/d", [("Readonly", .boolean(true))]).text.contains("unknown_field"))
            let detached = try await world.refusal(
                "Instance",
                "DetachVolume",
                at: instance,
                .objectPath(volume),
                .uint64(1)
            )
            #expect(detached.kind == .notFound && detached.text.contains("volume_not_attached"), "\(detached)")
        }
    }

    @Test func anArchiveBecomesAVolume() async throws {
        try await BusWorld.with { world async throws in
            try await Scratch.with { scratch async throws in
                // As much of a tar archive as the double wants to see: one header, and the end.
                var archive = [UInt8](repeating: 0, count: 2048)
                archive.replaceSubrange(257..<262, with: Array("ustar".utf8))
                let file = try scratch.write(archive, to: "given.tar")
                let specification: [(String, Value)] = [("Name", .string("data")), ("Size", .uint64(1 << 30))]
                let volume = try await world.object(
                    "Manager",
                    "ImportVolume",
                    .descriptor(UnixDescriptor(owning: open(file.string, O_RDONLY))),
                    .properties(specification),
                    .uint64(1)
                )
                #expect(try await world.object("Manager", "GetVolume", .string("data")) == volume)
                let id = try #require(volume.volume)
                #expect(world.world.volumeDisks.contents(of: id) == archive)

                // As many bytes as no archive of such a volume has; they are not read.
                let huge = scratch.appending("huge")
                try Data().write(to: URL(filePath: huge.string))
                truncate(huge.string, 1 << 40)
                let large = try await world.refusal(
                    "Manager",
                    "ImportVolume",
                    .descriptor(UnixDescriptor(owning: open(huge.string, O_RDONLY))),
                    .properties([("Name", .string("other")), ("Size", .uint64(1 << 30))]),
                    .uint64(0)
                )
                #expect(large.kind == .invalidArgument && large.text.contains("archive_too_large"), "\(large)")

                // Through a pipe, and none.
                var ends: [Int32] = [-1, -1]
                #expect(pipe(&ends) == 0)
                try FileHandle(fileDescriptor: ends[1], closeOnDealloc: true).write(contentsOf: Data("not tar".utf8))
                let none = try await world.refusal(
                    "Manager",
                    "ImportVolume",
                    .descriptor(UnixDescriptor(owning: ends[0])),
                    .properties([("Name", .string("other")), ("Size", .uint64(1 << 30))]),
                    .uint64(1)
                )
                #expect(none.kind == .invalidArgument && none.text.contains("invalid_archive"), "\(none)")
                #expect(try await world.refusal("Manager", "GetVolume", .string("other")).kind == .notFound)
            }
        }
    }
}

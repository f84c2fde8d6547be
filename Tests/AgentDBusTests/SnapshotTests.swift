import AgentTestSupport
import DBus
import Testing

@testable import AgentCore
@testable import AgentDBus

/// Snapshots, forks and other sizes, over D-Bus alone.
@Suite(.serialized) struct SnapshotTests {
    @Test func aSnapshotLivesAndBringsItsInstanceBack() async throws {
        try await BusWorld.with { world async throws in
            let objects = try await world.client.signals(
                MatchRule(sender: AgentBus.name, interface: "org.freedesktop.DBus.ObjectManager")
            )
            let instance = try await world.makeInstance("web")
            let snapshot = try await world.object(
                "Instance",
                "CreateSnapshot",
                at: instance,
                .properties([("Name", .string("first")), ("Labels", ["why": "before"].dbusValue)]),
                .uint64(1)
            )
            for try await signal in objects where signal.arguments.first == .objectPath(snapshot) {
                #expect(signal.member == "InterfacesAdded")
                break
            }
            func property(_ name: String) async throws -> Value {
                try await world.client.property(name, of: AgentInterface.snapshot, at: snapshot, AgentBus.name)
            }
            #expect(try await property("Kind") == .string("Standby"))
            #expect(try await property("Instance") == .objectPath(instance))
            #expect(try await property("InstanceName") == .string("web"))
            #expect(try await property("Labels") == ["why": "before"].dbusValue)
            #expect(try await world.object("Manager", "GetSnapshot", .string("first")) == snapshot)
            let list = try await world.call(
                "Manager",
                "ListSnapshots",
                .properties([("Instance", .objectPath(instance)), ("Kind", .string("Standby"))])
            )
            guard case .array(_, let entries)? = list.first else { throw ToolFailure(description: "\(list)") }
            #expect(entries.compactMap { ListEntry($0)?.path } == [snapshot])

            let running = try await world.refusal("Snapshot", "Restore", at: snapshot, .string("Running"), .uint64(1))
            #expect(running.kind == .invalidState, "\(running)")
            let odd = try await world.refusal("Snapshot", "Restore", at: snapshot, .string("Paused"), .uint64(1))
            #expect(odd.kind == .invalidArgument && odd.text.contains("invalid_target_state"), "\(odd)")
            try await world.call("Instance", "Stop", at: instance, .uint64(0), .uint64(1))
            try await world.call("Snapshot", "Restore", at: snapshot, .string("Running"), .uint64(1))
            #expect(try await world.property("State", of: instance) == .string("Running"))

            // Also when its instance is gone.
            try await world.call("Instance", "Delete", at: instance, .uint64(1))
            let copy = try await world.object(
                "Snapshot",
                "Fork",
                at: snapshot,
                .string("copy"),
                .properties([("TargetState", .string("Running"))]),
                .uint64(1)
            )
            #expect(try await world.property("Name", of: copy) == .string("copy"))
            #expect(try await world.property("State", of: copy) == .string("Running"))
            try await world.call("Snapshot", "Delete", at: snapshot)
            for try await signal in objects where signal.member == "InterfacesRemoved" {
                guard signal.arguments.first == .objectPath(snapshot) else { continue }
                break
            }
            #expect(try await world.refusal("Manager", "GetSnapshot", .string("first")).kind == .notFound)
        }
    }

    @Test func aCommitIsOverWhenItsImageIsReady() async throws {
        try await BusWorld.with { world async throws in
            let source = try await world.makeInstance("web")
            try await world.call(
                "Instance",
                "Commit",
                at: source,
                .string("team/app:2"),
                .properties([("Labels", ["a": "b"].dbusValue)]),
                .uint64(1)
            )
            let image = try await world.object("Manager", "GetImage", .string("team/app:2"))
            #expect(
                try await world.client.property("Status", of: AgentInterface.image, at: image, AgentBus.name)
                    == .string("ready")
            )
            func refusal(_ name: String, _ options: [(String, Value)]) async throws -> (AgentError.Kind?, String) {
                try await world.refusal(
                    "Instance",
                    "Commit",
                    at: source,
                    .string(name),
                    .properties(options),
                    .uint64(1)
                )
            }
            for (name, options, word) in [
                ("Not This", [], "invalid_name"), ("app:3", [("Pause", Value.boolean(true))], "unknown_field"),
            ] {
                let (kind, text) = try await refusal(name, options)
                #expect(kind == .invalidArgument && text.contains(word), "\(text)")
            }
            try await world.call("Instance", "Pause", at: source, .uint64(1))
            #expect(try await refusal("app:3", []).0 == .invalidState)
        }
    }

    @Test func aForkIsThereBeforeItIsDone() async throws {
        try await BusWorld.with { world async throws in
            let source = try await world.makeInstance("web", [("Labels", ["team": "blue"].dbusValue)])
            let alive = try await world.refusal(
                "Instance",
                "Fork",
                at: source,
                .string("copy"),
                .properties([]),
                .uint64(1)
            )
            #expect(alive.kind == .invalidState, "\(alive)")
            let reply = try await world.call(
                "Instance",
                "Fork",
                at: source,
                .string("copy"),
                .properties([("FromRunning", .boolean(true)), ("TargetState", .string("Running"))]),
                .uint64(0)
            )
            guard reply.count == 2, case .objectPath(let copy) = reply[0] else {
                throw ToolFailure(description: "\(reply)")
            }
            #expect(try await world.property("Name", of: copy) == .string("copy"))
            #expect(try await world.property("Labels", of: copy) == ["team": "blue"].dbusValue)
            try await world.call("Manager", "WaitOperation", reply[1])
            #expect(try await world.property("State", of: copy) == .string("Running"))
            #expect(try await world.property("State", of: source) == .string("Running"))
            let wrong: [(String, [(String, Value)], String)] = [
                ("copy", [("FromRunning", Value.boolean(true))], "name_conflict"),
                ("Not A Name", [], "invalid_name"),
                ("third", [("TargetState", .string("Paused"))], "invalid_target_state"),
                ("third", [("FromRunning", .string("yes"))], "invalid_field"),
            ]
            for (name, options, word) in wrong {
                let refusal = try await world.refusal(
                    "Instance",
                    "Fork",
                    at: source,
                    .string(name),
                    .properties(options),
                    .uint64(0)
                )
                #expect(refusal.kind != nil && refusal.text.contains(word), "\(name): \(refusal)")
            }
            let unknown = try await world.refusal(
                "Snapshot",
                "Fork",
                at: .snapshot(.random()),
                .string("x"),
                .properties([]),
                .uint64(0)
            )
            #expect(unknown.kind == nil && unknown.text.contains("UnknownObject"), "\(unknown)")
        }
    }

    @Test func whatIsWrongWithASnapshotIsSaid() async throws {
        try await BusWorld.with { world async throws in
            let instance = try await world.makeInstance("web")
            let wrong: [([(String, Value)], String)] = [
                ([("Kind", Value.string("Half"))], "invalid_kind"), ([("Name", .string("No Name"))], "invalid_name"),
                ([("Size", .uint64(1))], "unknown_field"), ([("Labels", .string("a"))], "invalid_field"),
            ]
            for (options, word) in wrong {
                let refusal = try await world.refusal(
                    "Instance",
                    "CreateSnapshot",
                    at: instance,
                    .properties(options),
                    .uint64(1)
                )
                #expect(refusal.kind == .invalidArgument && refusal.text.contains(word), "\(options): \(refusal)")
            }
            let stopped = try await world.refusal(
                "Instance",
                "CreateSnapshot",
                at: instance,
                .properties([("Kind", .string("Stopped"))]),
                .uint64(1)
            )
            #expect(stopped.kind == .invalidState, "\(stopped)")
            let filter = try await world.refusal(
                "Manager",
                "ListSnapshots",
                .properties([("Instance", .objectPath(AgentBus.root))])
            )
            #expect(filter.kind == .invalidArgument, "\(filter)")
        }
    }

    @Test func anInstanceIsGivenAnotherSize() async throws {
        try await BusWorld.with { world async throws in
            let instance = try await world.makeInstance("web", [("VCPUs", .uint32(1)), ("Memory", .uint64(256 << 20))])
            try await world.call("Instance", "Stop", at: instance, .uint64(0), .uint64(1))
            try await world.call(
                "Instance",
                "Resize",
                at: instance,
                .properties([("VCPUs", .uint32(2)), ("Memory", .uint64(512 << 20))]),
                .uint64(1)
            )
            #expect(try await world.property("VCPUs", of: instance) == .uint32(2))
            #expect(try await world.property("Memory", of: instance) == .uint64(512 << 20))
            let wrong: [([(String, Value)], AgentError.Kind)] = [
                ([], AgentError.Kind.invalidArgument), ([("VCPUs", Value.uint32(0))], .invalidArgument),
                ([("VCPUs", .uint32(99))], .quotaExceeded), ([("Memory", .uint64(.max))], .invalidArgument),
            ]
            for (size, kind) in wrong {
                let refusal = try await world.refusal("Instance", "Resize", at: instance, .properties(size), .uint64(1))
                #expect(refusal.kind == kind, "\(size): \(refusal)")
            }
        }
    }
}

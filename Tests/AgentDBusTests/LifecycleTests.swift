import AgentTestSupport
import DBus
import Foundation
import Testing

@testable import AgentCore
@testable import AgentDBus

/// Instances from their creation to their end, over D-Bus alone.
@Suite(.serialized) struct LifecycleTests {
    @Test func anInstanceLivesAndChangesAreTold() async throws {
        try await BusWorld.with { world async throws in
            let added = try await world.client.signals(
                MatchRule(sender: AgentBus.name, interface: "org.freedesktop.DBus.ObjectManager")
            )
            let changes = try await world.client.signals(
                MatchRule(sender: AgentBus.name, member: "PropertiesChanged", firstArgument: AgentInterface.instance)
            )
            let instance = try await world.makeInstance(
                "web",
                [
                    ("VCPUs", .uint32(1)), ("Memory", .uint64(256 << 20)),
                    ("Labels", ["team": "blue"].dbusValue), ("Environment", ["PASSWORD": "secret"].dbusValue),
                    ("Ports", .array(element: "(qqs)", [.structure([.uint16(8080), .uint16(80), .string("tcp")])])),
                ]
            )
            for try await signal in added where signal.arguments.first == .objectPath(instance) {
                #expect(signal.member == "InterfacesAdded")
                #expect(!"\(signal.arguments)".contains("secret"))
                break
            }
            #expect(try await world.property("Name", of: instance) == .string("web"))
            #expect(try await world.property("Memory", of: instance) == .uint64(256 << 20))
            #expect(try await world.property("Labels", of: instance) == ["team": "blue"].dbusValue)
            #expect(
                try await world.property("Ports", of: instance)
                    == .array(element: "(qqs)", [.structure([.uint16(8080), .uint16(80), .string("tcp")])])
            )
            for (method, state) in [
                ("Pause", "Paused"), ("Resume", "Running"), ("Standby", "Standby"), ("Restore", "Running"),
            ] {
                try await world.call("Instance", method, at: instance, .uint64(1))
                #expect(try await world.property("State", of: instance) == .string(state), "\(method)")
            }
            try await world.call("Instance", "Stop", at: instance, .uint64(0), .uint64(1))
            #expect(try await world.property("State", of: instance) == .string("Stopped"))
            #expect(try await world.property("ExitReason", of: instance) == .string("stopped"))
            try await world.call("Instance", "Start", at: instance, .uint64(1))
            var told: [String] = []
            for try await signal in changes where signal.path == instance {
                #expect(!"\(signal.arguments)".contains("secret"))
                guard case .dictionary(_, _, let entries) = signal.arguments[1] else { continue }
                for entry in entries where entry.key == .string("State") {
                    if case .variant(.string(let state)) = entry.value { told.append(state) }
                }
                if told.last == "Running", told.contains("Stopped") { break }
            }
            // What comes in quick succession may be told once, but never out of order.
            #expect(told.filter { ["Paused", "Standby", "Stopped"].contains($0) }.count >= 1)
            try await world.call("Instance", "Delete", at: instance, .uint64(1))
            for try await signal in added where signal.member == "InterfacesRemoved" {
                guard signal.arguments.first == .objectPath(instance) else { continue }
                break
            }
            let error = await #expect(throws: DBusError.self) { try await world.property("State", of: instance) }
            #expect(error?.is(.unknownObject) == true)
        }
    }

    @Test func busctlDrivesEverything() async throws {
        try await BusWorld.with { world async throws in
            let bus = world.bus
            let created = try await bus.busctl(
                "call",
                AgentBus.name,
                "\(AgentBus.root)",
                AgentInterface.manager,
                "CreateInstance",
                "a{sv}t",
                "2",
                "Name",
                "s",
                "web",
                "Image",
                "s",
                AgentWorld.imageName,
                "1"
            )
            #expect(created.hasPrefix("oo \"/io/hypeman/Agent1/instances/"))
            let path = String(created.split(separator: "\"")[1])
            #expect(try await bus.busctl("tree", "--list", AgentBus.name).contains(path))
            let list = try await bus.busctl(
                "call",
                AgentBus.name,
                "\(AgentBus.root)",
                AgentInterface.manager,
                "ListInstances",
                "a{sv}",
                "0"
            )
            #expect(list.contains("\"web\"") && list.contains("\"State\""))
            try await bus.busctl("introspect", AgentBus.name, path)
            let stopped = try await bus.busctl(
                "call",
                AgentBus.name,
                path,
                AgentInterface.instance,
                "Stop",
                "tt",
                "0",
                "0"
            )
            let operation = String(stopped.split(separator: "\"")[1])
            try await bus.busctl(
                "call",
                AgentBus.name,
                "\(AgentBus.root)",
                AgentInterface.manager,
                "WaitOperation",
                "o",
                operation
            )
            #expect(
                try await bus.busctl("get-property", AgentBus.name, path, AgentInterface.instance, "State")
                    == "s \"Stopped\"\n"
            )
            let failure = try await bus.busctlFailure(
                "call",
                AgentBus.name,
                path,
                AgentInterface.instance,
                "Pause",
                "t",
                "1"
            )
            #expect(failure.contains("Stopped"))
        }
    }

    @Test func otherClientsDriveItToo() async throws {
        try await BusWorld.with { world async throws in
            let made = try await world.bus.gdbus(
                "call",
                "--dest",
                AgentBus.name,
                "--object-path",
                "\(AgentBus.root)",
                "--method",
                "\(AgentInterface.manager).CreateInstance",
                "{'Name': <'from-gdbus'>, 'Image': <'test'>, 'Labels': <{'made-by': 'gdbus'}>}",
                "1"
            )
            #expect(made.hasPrefix("(objectpath '/io/hypeman/Agent1/instances/"), "\(made)")
            let said = try await tool(
                "env",
                [
                    "DBUS_SYSTEM_BUS_ADDRESS=\(world.bus.address)", "/usr/bin/python3", "-B",
                    "Examples/DBusClient/client.py", "test", "hello", "world",
                ]
            )
            let lines = said.split(separator: "\n").map(String.init)
            #expect(lines.prefix(3) == ["from-python Running False", "hello world", "ended with 0"], "\(said)")
            #expect(lines.last == "Stopped", "\(said)")
            #expect(world.world.instances.list().map(\.name.rawValue) == ["from-gdbus"])
        }
    }

    @Test func operationsEndWithTheirErrors() async throws {
        try await BusWorld.with { world async throws in
            let instance = try await world.makeInstance("web")
            let ends = try await world.client.signals(MatchRule(sender: AgentBus.name, member: "OperationRemoved"))
            let reply = try await world.call("Instance", "Resume", at: instance, .uint64(0))
            let fine = try await world.call("Instance", "Pause", at: instance, .uint64(0))
            let bad = try await world.call("Instance", "Start", at: instance, .uint64(0))
            guard case .objectPath(let resume) = reply[0], case .objectPath(let pause) = fine[0],
                case .objectPath(let start) = bad[0]
            else {
                Issue.record("\(reply) \(fine) \(bad)")
                return
            }
            try await world.call("Manager", "WaitOperation", .objectPath(resume))
            try await world.call("Manager", "WaitOperation", .objectPath(pause))
            let error = await #expect(throws: DBusError.self) {
                try await world.call("Manager", "WaitOperation", .objectPath(start))
            }
            #expect(kind(of: error) == .invalidState)
            for try await end in ends where end.arguments[1] == .objectPath(start) {
                #expect(end.arguments[2] == .string("failed"))
                #expect(end.arguments[3] == .string(error?.name ?? ""))
                break
            }
            let unknown = await #expect(throws: DBusError.self) {
                try await world.call("Manager", "WaitOperation", .objectPath(.operation(99_999)))
            }
            #expect(kind(of: unknown) == .notFound)
        }
    }

    private static let plain: [(String, Value)] = [("Name", .string("web")), ("Image", .string(AgentWorld.imageName))]
    private static let wrong: [([(String, Value)], AgentError.Kind, String)] = [
        ([("Name", .string("web"))], .invalidArgument, "missing_field"),
        ([("Name", .string("No Name")), plain[1]], .invalidArgument, "invalid_name"),
        ([plain[0], ("Image", .string("nothing"))], .notFound, "nothing"),
        ([plain[0], ("Image", .uint32(1))], .invalidArgument, "invalid_field"),
        (plain + [("Colour", .string("red"))], .invalidArgument, "unknown_field"),
        (plain + [("Memory", .uint64(.max))], .invalidArgument, "invalid_field"),
        (plain + [("VCPUs", .uint32(5))], .quotaExceeded, "MAX_VCPUS"),
        (plain + [("RestartPolicy", .string("perhaps"))], .invalidArgument, "invalid_restart_policy"),
        (
            plain + [("Ports", .array(element: "(qqs)", [.structure([.uint16(0), .uint16(80), .string("tcp")])]))],
            .invalidArgument, "invalid_ports"
        ),
    ]

    @Test(arguments: wrong)
    func whatIsWrongWithARequestIsSaid(_ specification: [(String, Value)], _ expected: AgentError.Kind, _ word: String)
        async throws
    {
        try await BusWorld.with { world async throws in
            let error = await #expect(throws: DBusError.self) {
                try await world.call("Manager", "CreateInstance", .properties(specification), .uint64(0))
            }
            #expect(
                kind(of: error) == expected && error?.message.contains(word) == true,
                "\(String(describing: error))"
            )
            let flags = await #expect(throws: DBusError.self) {
                try await world.call("Manager", "CreateInstance", .properties([]), .uint64(6))
            }
            #expect(kind(of: flags) == .invalidArgument)
            #expect(world.world.instances.list().isEmpty)
        }
    }

    @Test func imagesArePulledImportedAndDeleted() async throws {
        try await BusWorld.with { world async throws in
            let path = ObjectPath.image(AgentWorld.imageName)
            #expect(try await world.call("Manager", "GetImage", .string("test")) == [.objectPath(path)])
            #expect(
                try await world.client.property("Status", of: AgentInterface.image, at: path, AgentBus.name)
                    == .string("ready")
            )
            let pulled = try await world.call("Manager", "PullImage", .string("test"), .properties([]), .uint64(1))
            #expect(pulled.first == .objectPath(path))
            let missing = await #expect(throws: DBusError.self) {
                try await world.call("Manager", "PullImage", .string("nothing"), .properties([]), .uint64(1))
            }
            #expect(kind(of: missing) == .notFound)
            try await world.call("Image", "Delete", at: path)
            let gone = await #expect(throws: DBusError.self) {
                try await world.call("Manager", "GetImage", .string("test"))
            }
            #expect(kind(of: gone) == .notFound)
        }
    }

    @Test func aPullIsMadeWithCredentialsOfItsOwn() async throws {
        try await BusWorld.with { world async throws in
            let cases: [([(String, Value)], RegistryCredentials)] = [
                (
                    [("Username", .string("bob")), ("Password", .string("secret"))],
                    .password(user: "bob", password: "secret")
                ),
                ([("IdentityToken", .string("id"))], .identityToken("id")),
                ([("RegistryToken", .string("reg"))], .registryToken("reg")),
            ]
            for (options, credentials) in cases {
                try await world.call("Manager", "PullImage", .string("test"), .properties(options), .uint64(1))
                #expect(world.world.pictures.credentials.last == credentials)
            }
            let asked = world.world.pictures.credentials.count
            for names in [["Username"], ["Password"], ["Username", "Password", "RegistryToken"]] {
                let options = names.map { ($0, Value.string("secret")) }
                let (kind, text) = try await world.refusal(
                    "Manager",
                    "PullImage",
                    .string("test"),
                    .properties(options),
                    .uint64(0)
                )
                #expect(kind == .invalidArgument && text.contains("Username and Password"), "\(names): \(text)")
                #expect(!text.contains("secret"))
            }
            let colon = [("Username", Value.string("b:b")), ("Password", .string("secret"))]
            let (kind, text) = try await world.refusal(
                "Manager",
                "PullImage",
                .string("test"),
                .properties(colon),
                .uint64(0)
            )
            #expect(kind == .invalidArgument && text.contains("colon"), "\(text)")
            #expect(world.world.pictures.credentials.count == asked, "the registry was not asked")
        }
    }

    @Test func whatTheHostHasAndWhoHasItIsTold() async throws {
        try await BusWorld.with { world async throws in
            let instance = try await world.makeInstance("web")
            let volume = try await world.makeVolume("data")
            typealias Values = [String: Variant]
            let report = try await world.call("Manager", "GetResources")
            let resources = try #require(report.first.flatMap { [String: Values]($0) })
            #expect(Set(resources.keys) == ["CPU", "Memory", "Disk", "Network"])
            #expect(resources["CPU"]?["Capacity"] == Variant(.uint64(4)))
            #expect(resources["CPU"]?["Allocated"] == Variant(.uint64(2)))
            #expect(resources["Network"]?["Source"] == Variant(.string("unknown")))
            let allocations = try #require(report.last.flatMap { [ObjectPath: Values]($0) })
            #expect(allocations.keys.map { $0 } == [instance])
            #expect(allocations[instance]?["VCPUs"] == Variant(.uint32(2)))
            #expect(allocations[instance]?["BandwidthUpload"] == nil, "it is not limited")

            let usage = try await world.call("Manager", "GetDiskUsage")
            let categories = try #require(usage.first.flatMap { [String: Values]($0) })
            #expect(Set(categories.keys) == ["Images", "Downloads", "Overlays", "Volumes", "Logs"])
            #expect(categories["Images"]?["Active"] == Variant(.uint64(1)))
            #expect(categories["Images"]?["Size"] == Variant(.uint64(4 << 20)))
            let objects = try #require(usage.last.flatMap { [ObjectPath: Values]($0) })
            #expect(Set(objects.keys) == [.image(AgentWorld.imageName), instance, volume])
            #expect(objects[instance]?["Overlay"] == Variant(.uint64(1 << 20)))
        }
    }

    @Test func imagesThatNobodyUsesArePruned() async throws {
        try await BusWorld.with { world async throws in
            func prune(_ options: [(String, Value)]) async throws -> [Value] {
                try await world.call("Manager", "PruneImages", .properties(options))
            }
            let none = [[String]().dbusValue, .uint64(0)]
            let image = [[AgentWorld.imageName].dbusValue, .uint64(4 << 20)]
            #expect(try await prune([]) == none)
            #expect(try await prune([("All", .boolean(true)), ("CreatedBeforeUSec", .uint64(1))]) == none)
            #expect(try await prune([("All", .boolean(true)), ("Labels", ["a": "b"].dbusValue)]) == none)
            #expect(try await prune([("All", .boolean(true)), ("DryRun", .boolean(true))]) == image)
            _ = try await world.object("Manager", "GetImage", .string("test"))
            #expect(try await prune([("All", .boolean(true))]) == image)
            #expect(try await world.refusal("Manager", "GetImage", .string("test")).kind == .notFound)
            let odd = try await world.refusal("Manager", "PruneImages", .properties([("Everything", .boolean(true))]))
            #expect(odd.kind == .invalidArgument, "\(odd)")
        }
    }

    @Test func networksAreListed() async throws {
        try await BusWorld.with { world async throws in
            let path = ObjectPath.network(Network.defaultID)
            guard case .array(_, let entries)? = try await world.call("Manager", "ListNetworks").first else { return }
            #expect(entries.compactMap { ListEntry($0)?.path } == [path])
            let mtu = try await world.client.property("MTU", of: AgentInterface.network, at: path, AgentBus.name)
            #expect(mtu == .uint32(1500))
        }
    }

    @Test func aThousandInstancesAreOneAnswer() async throws {
        try await BusWorld.with { world async throws in
            for number in 0..<1000 { world.world.directory.update(Fixtures.instance("i\(number)")) }
            // The last that was shown is there once the rest is.
            var objects = 0
            let began = ContinuousClock.now
            while objects < 1000, began.duration(to: .now) < .seconds(60) {
                let reply = try await world.client.call(
                    "GetManagedObjects",
                    of: "org.freedesktop.DBus.ObjectManager",
                    at: AgentBus.root,
                    AgentBus.name
                )
                guard case .dictionary(_, _, let entries)? = reply.first else { break }
                objects = entries.filter { "\($0.key)".contains("/instances/") }.count
            }
            #expect(objects == 1000)
        }
    }
}

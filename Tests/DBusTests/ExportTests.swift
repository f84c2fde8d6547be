import AgentTestSupport
import DBus
import Testing

/// What is exported, seen with others' tools.
@Suite struct ExportTests {
    private static let desk = "/org/example/Lamps1/desk"

    @Test func busctlAndGdbusSeeEverything() async throws {
        try await withLamp { bus, _, _ async throws in
            let tree = try await bus.busctl("tree", "--list", Lamp.name)
            #expect(tree.contains(Self.desk))
            let lines = try await bus.busctl("introspect", Lamp.name, Self.desk)
                .split(separator: "\n").map {
                    $0.split(separator: " ", omittingEmptySubsequences: true).map(String.init)
                }
            func line(_ member: String) -> [String] { lines.first { $0.first == ".\(member)" } ?? [] }
            #expect(line("Switch").prefix(4) == [".Switch", "method", "b", "b"])
            #expect(line("Brightness") == [".Brightness", "property", "u", "0", "emits-change", "writable"])
            #expect(line("Colour") == [".Colour", "property", "s", "\"white\"", "emits-invalidation"])
            #expect(line("Maker") == [".Maker", "property", "s", "\"ACME\"", "const"])
            #expect(line("Age") == [".Age", "property", "t", "7", "-"])
            #expect(line("Flickered").prefix(3) == [".Flickered", "signal", "us"])
            #expect(line("GetManagedObjects") == [])
            let root = try await bus.busctl("introspect", Lamp.name, "/org/example/Lamps1")
            #expect(root.contains("GetManagedObjects") && root.contains("InterfacesRemoved"))
            let gdbus = try await bus.gdbus("introspect", "--dest", Lamp.name, "--object-path", Self.desk)
            #expect(gdbus.contains("readwrite u Brightness = 0;"))
            #expect(gdbus.contains("Flickered(u times,"))
            let managed = try await bus.gdbus(
                "call",
                "--dest",
                Lamp.name,
                "--object-path",
                "/org/example/Lamps1",
                "--method",
                "org.freedesktop.DBus.ObjectManager.GetManagedObjects"
            )
            #expect(managed.contains("'Maker': <'ACME'>"))
        }
    }

    @Test func methodsAndPropertiesWork() async throws {
        try await withLamp { bus, _, _ async throws in
            #expect(
                try await bus.busctl("call", Lamp.name, Self.desk, Lamp.interface, "Switch", "b", "1") == "b false\n"
            )
            #expect(
                try await bus.busctl("get-property", Lamp.name, Self.desk, Lamp.interface, "Brightness") == "u 100\n"
            )
            try await bus.busctl("set-property", Lamp.name, Self.desk, Lamp.interface, "Brightness", "u", "7")
            #expect(try await bus.busctl("get-property", Lamp.name, Self.desk, Lamp.interface, "Brightness") == "u 7\n")
            try await bus.busctl("call", Lamp.name, Self.desk, "org.freedesktop.DBus.Peer", "Ping")
            let all = try await bus.busctl(
                "call",
                Lamp.name,
                Self.desk,
                "org.freedesktop.DBus.Properties",
                "GetAll",
                "s",
                ""
            )
            #expect(all.hasPrefix("a{sv} 4 "))
        }
    }

    @Test(arguments: [
        ("/org/example/Lamps1/attic", Lamp.interface, "Switch", [Value.boolean(true)], "UnknownObject"),
        (desk, "org.example.Other", "Switch", [.boolean(true)], "UnknownInterface"),
        (desk, Lamp.interface, "Dim", [], "UnknownMethod"),
        (desk, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", [], "UnknownMethod"),
        (desk, Lamp.interface, "Switch", [], "InvalidArgs"),
        (desk, Lamp.interface, "Switch", [.string("on")], "InvalidArgs"),
        (desk, Lamp.interface, "Switch", [.boolean(true), .boolean(true)], "InvalidArgs"),
        (desk, Lamp.interface, "Switch", [.variant(.boolean(true))], "InvalidArgs"),
        (
            desk, "org.freedesktop.DBus.Properties", "Get", [.string(Lamp.interface), .string("Weight")],
            "UnknownProperty"
        ),
        (
            desk, "org.freedesktop.DBus.Properties", "Get", [.string("org.example.Other"), .string("X")],
            "UnknownInterface"
        ),
        (desk, "org.freedesktop.DBus.Properties", "Get", [.string(Lamp.interface)], "InvalidArgs"),
        (desk, "org.freedesktop.DBus.Properties", "Peek", [], "UnknownMethod"),
        (
            desk, "org.freedesktop.DBus.Properties", "Set",
            [.string(Lamp.interface), .string("Maker"), .variant(.string("me"))], "PropertyReadOnly"
        ),
        (
            desk, "org.freedesktop.DBus.Properties", "Set",
            [.string(Lamp.interface), .string("Brightness"), .variant(.string("very"))], "InvalidArgs"
        ),
        ("/nowhere", "org.freedesktop.DBus.Introspectable", "Introspect", [], "UnknownObject"),
        ("/nowhere", "org.freedesktop.DBus.Properties", "GetAll", [.string("")], "UnknownObject"),
    ])
    func whatIsWrongHasItsStandardName(
        _ object: String,
        _ interface: String,
        _ member: String,
        _ arguments: [Value],
        _ name: String
    ) async throws {
        try await withLamp { _, _, client async throws in
            let error = await #expect(throws: DBusError.self) {
                try await client.call(member, of: interface, at: path(object), Lamp.name, arguments)
            }
            #expect(error?.name == "org.freedesktop.DBus.Error.\(name)", "\(String(describing: error))")
        }
    }

    @Test func domainErrorsAreNamedAndOthersTellNothing() async throws {
        try await withLamp { _, _, client async throws in
            let named = await #expect(throws: DBusError.self) { try await client.lamp("Fail") }
            #expect(named == DBusError(name: "org.example.Lamps1.Error.Broken", message: "the bulb is broken"))
            let other = await #expect(throws: DBusError.self) { try await client.lamp("Leak") }
            #expect(other?.is(.failed) == true && other?.message.contains("Secret") == false)
        }
    }

    @Test func changesAreToldAsDeclared() async throws {
        try await withLamp { _, service, client async throws in
            let desk = path(Self.desk)
            let signals = try await client.signals(MatchRule(sender: Lamp.name))
            var iterator = signals.makeAsyncIterator()
            try await client.call(
                "Set",
                of: "org.freedesktop.DBus.Properties",
                at: desk,
                Lamp.name,
                [.string(Lamp.interface), .string("Brightness"), .variant(.uint32(3))]
            )
            #expect(
                try await iterator.next()?.arguments == [
                    .string(Lamp.interface), .properties([("Brightness", .uint32(3))]), .array(element: "s", []),
                ]
            )
            await service.propertiesChanged(of: Lamp.interface, at: desk)
            #expect(
                try await iterator.next()?.arguments == [
                    .string(Lamp.interface), .properties([("Brightness", .uint32(3))]),
                    .array(element: "s", [.string("Colour")]),
                ]
            )
            // Nothing is told of these, and so the next signal is another.
            await service.propertiesChanged(["Maker", "Age"], of: Lamp.interface, at: desk)
            await service.emit("Flickered", of: Lamp.interface, at: desk, [.uint32(2), .string("wind")])
            #expect(try await iterator.next()?.member == "Flickered")
            let floor = Lamp.root.appending(escaped: "floor")
            await service.export([Lamp().declaration()], at: floor)
            let added = try await iterator.next()
            #expect(added?.member == "InterfacesAdded" && added?.path == Lamp.root)
            #expect(added?.arguments.first == .objectPath(floor))
            await service.unexport(floor)
            let removed = try await iterator.next()
            #expect(removed?.member == "InterfacesRemoved")
            #expect(removed?.arguments == [.objectPath(floor), .array(element: "s", [.string(Lamp.interface)])])
            let managed = try await client.call(
                "GetManagedObjects",
                of: "org.freedesktop.DBus.ObjectManager",
                at: Lamp.root,
                Lamp.name
            )
            guard case .dictionary(_, _, let objects)? = managed.first else {
                Issue.record("\(managed)")
                return
            }
            #expect(objects.map(\.key) == [.objectPath(desk)])
        }
    }

    @Test func aSlowCallHoldsUpNoOther() async throws {
        try await withLamp { _, service, client async throws in
            let (gate, open) = AsyncStream.makeStream(of: Void.self)
            let slow = Interface("org.example.Slow", [.method("Wait") { (_: Call) in for await _ in gate {} }])
            await service.export([slow], at: path("/slow"))
            let waiting = Task { try await client.call("Wait", of: "org.example.Slow", at: path("/slow"), Lamp.name) }
            #expect(try await client.lamp("Switch", [.boolean(true)]) == [.boolean(false)])
            open.finish()
            #expect(try await waiting.value == [])
        }
    }
}

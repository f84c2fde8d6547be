import AgentTestSupport
import DBus
import Foundation
import GuestProtocol
import Testing

@testable import AgentCore
@testable import AgentDBus

/// Callers that send what nobody should, want too much, or go away; on a bus with the policy that is installed.
@Suite(.serialized) struct HostileCallerTests {
    /// The agent goes on for others.
    private func expectService(_ world: BusWorld) async throws {
        try await world.withClient { other async throws in
            #expect(try await world.call("Manager", "ListImages", by: other).count == 1)
        }
    }

    // MARK: What is not what the contract says

    @Test func everyMethodTakesItsSignatureAndNoOther() async throws {
        try await BusWorld.with(policy: try BusWorld.installedPolicy()) { world async throws in
            let instance = try await world.makeInstance("web")
            let volume = try await world.makeVolume("data")
            let snapshot = try await world.object(
                "Instance",
                "CreateSnapshot",
                at: instance,
                .properties([]),
                .uint64(1)
            )
            let command = try await world.call(
                "Instance",
                "OpenExec",
                at: instance,
                ["sleep"].dbusValue,
                .properties([])
            )
            guard case .objectPath(let process)? = command.last else { throw ToolFailure(description: "\(command)") }
            let paths = [
                "Manager": AgentBus.root, "Instance": instance, "Volume": volume, "Snapshot": snapshot,
                "Image": .image(AgentWorld.imageName), "Process": process,
            ]
            var methods = 0
            for member in AgentOperation.allCases.flatMap(\.row.dbus) where !member.hasSuffix(".*") {
                let parts = member.split(separator: ".").map(String.init)
                guard let path = paths[parts[0]] else {
                    // Cancel is looked at where there is an operation.
                    #expect(member == "Operation.Cancel")
                    continue
                }
                for wrong: [Value] in [
                    [.structure([.int32(1)])],
                    [.array(element: "s", [Value](repeating: .string("x"), count: 9)), .byte(1)],
                    [.variant(.string("x"))],
                ] {
                    let error = await #expect(throws: DBusError.self) {
                        try await world.client.call(
                            parts[1],
                            of: "\(AgentBus.name).\(parts[0])",
                            at: path,
                            AgentBus.name,
                            wrong
                        )
                    }
                    #expect(error?.is(.invalidArguments) == true, "\(member): \(String(describing: error))")
                }
                methods += 1
            }
            #expect(methods > 40)
            #expect(try await world.property("State", of: instance) == .string("Running"))
            try await expectService(world)
        }
    }

    @Test func namesAndPathsThatAreNoneAreRefused() async throws {
        try await BusWorld.with(policy: try BusWorld.installedPolicy()) { world async throws in
            let instance = try await world.makeInstance("web")
            let names = [
                "", ".", "..", "../../etc", "a/b", "a\nb", "ä", String(repeating: "x", count: 4000), "web\u{7F}",
            ]
            for name in names {
                let specification: [(String, Value)] = [
                    ("Name", .string(name)), ("Image", .string(AgentWorld.imageName)),
                ]
                let create = try await world.refusal(
                    "Manager",
                    "CreateInstance",
                    .properties(specification),
                    .uint64(0)
                )
                #expect(create.kind == .invalidArgument, "\(name.prefix(20)): \(create)")
                let volume = try await world.refusal(
                    "Manager",
                    "CreateVolume",
                    .properties([("Name", .string(name)), ("Size", .uint64(1 << 30))])
                )
                #expect(volume.kind == .invalidArgument, "\(name.prefix(20)): \(volume)")
                let fork = try await world.refusal(
                    "Instance",
                    "Fork",
                    at: instance,
                    .string(name),
                    .properties([("FromRunning", .boolean(true))]),
                    .uint64(0)
                )
                #expect(fork.kind == .invalidArgument, "\(name.prefix(20)): \(fork)")
                for getter in ["GetInstance", "GetVolume", "GetSnapshot"] {
                    let found = try await world.refusal("Manager", getter, .string(name))
                    #expect(found.kind == .notFound, "\(getter) \(name.prefix(20)): \(found)")
                }
                // What a message says of a name is a part of it.
                #expect(create.text.count < 1000 && volume.text.count < 1000)
            }
            for path in [
                "/", "/etc/passwd", "\(AgentBus.root)", "\(AgentBus.root)/instances",
                "\(AgentBus.root)/instances/_2e_2e",
                "\(AgentBus.root)/instances/_zz", "\(AgentBus.root)/instances/a/b", "\(instance)/x",
            ] {
                let path = try #require(ObjectPath(path))
                let stats = try await world.refusal("Manager", "GetStats", [path].dbusValue)
                #expect(stats.kind == .invalidArgument, "\(path): \(stats)")
                let wait = try await world.refusal("Manager", "WaitOperation", .objectPath(path))
                #expect(wait.kind == .invalidArgument, "\(path): \(wait)")
                let attach = try await world.refusal(
                    "Instance",
                    "AttachVolume",
                    at: instance,
                    .objectPath(path),
                    .string("/data"),
                    .properties([]),
                    .uint64(0)
                )
                #expect(attach.kind == .invalidArgument, "\(path): \(attach)")
            }
            for flags in [UInt64(2), .max] {
                #expect(
                    try await world.refusal("Instance", "Start", at: instance, .uint64(flags)).kind == .invalidArgument
                )
            }
            try await expectService(world)
        }
    }

    @Test func largeMessagesAreBoundedAndHoldUpNobody() async throws {
        try await BusWorld.with(policy: try BusWorld.installedPolicy()) { world async throws in
            let instance = try await world.makeInstance("web")
            let many = [ObjectPath](repeating: instance, count: 100_000)
            let entries = (0..<40_000).map { ("Key\($0)", Value.string("x")) }
            let large: [(String, [Value])] = [
                ("GetStats", [many.dbusValue]), ("ListInstances", [Value.properties(entries)]),
                (
                    "CreateInstance",
                    [.properties([("Name", .string(String(repeating: "x", count: 8 << 20)))]), .uint64(0)]
                ),
            ]
            for (member, arguments) in large {
                let error = await #expect(throws: DBusError.self) {
                    try await world.client.call(
                        member,
                        of: AgentInterface.manager,
                        at: AgentBus.root,
                        AgentBus.name,
                        arguments
                    )
                }
                #expect(error?.is(.limitsExceeded) == true, "\(member): \(String(describing: error).prefix(200))")
            }
            // Within the bounds it is looked at: a label is one too many.
            let labels = Dictionary(uniqueKeysWithValues: (0..<10_000).map { ("label\($0)", "x") })
            let create = try await world.refusal(
                "Manager",
                "CreateInstance",
                .properties([
                    ("Name", .string("other")), ("Image", .string(AgentWorld.imageName)), ("Labels", labels.dbusValue),
                ]),
                .uint64(0)
            )
            #expect(create.kind == .invalidArgument && create.text.contains("invalid_tags"), "\(create)")
            // The same one many times is one.
            let stats = try await world.call(
                "Manager",
                "GetStats",
                [ObjectPath](repeating: instance, count: 1000).dbusValue
            )
            guard case .dictionary(_, _, let found)? = stats.first else { throw ToolFailure(description: "\(stats)") }
            #expect(found.count == 1)
            try await expectService(world)
        }
    }

    @Test func whoSendsWhatIsNoMessageIsAlone() async throws {
        try await BusWorld.with(policy: try BusWorld.installedPolicy()) { world async throws in
            let root = "\(AgentBus.root)"
            let ended = try await RawCaller.with(world.bus.address) { caller in
                // A NUL in a string: the bus itself ends who sends it.
                caller.call(
                    "GetInstance",
                    of: AgentInterface.manager,
                    at: root,
                    AgentBus.name,
                    "s",
                    RawCaller.number(3) + [UInt8(ascii: "a"), 0, UInt8(ascii: "b"), 0]
                )
                return caller.isClosed()
            }
            #expect(ended)
            try await expectService(world)
            let refused = try await RawCaller.with(world.bus.address) { caller in
                // The seventh descriptor of a message without any.
                let body = RawCaller.number(7) + [UInt8](repeating: 0, count: 12)
                caller.call(
                    "ImportImage",
                    of: AgentInterface.manager,
                    at: root,
                    AgentBus.name,
                    "ha{sv}t",
                    body
                )
                return caller.read(until: "org.freedesktop.DBus.Error.")
            }
            #expect(refused)
            try await expectService(world)
        }
    }

    // MARK: What is too much

    @Test func aCallerBeginsSoManyOperationsAndNoMore() async throws {
        try await BusWorld.with(policy: try BusWorld.installedPolicy()) { world async throws in
            let release = world.world.pictures.hold(.fetch)
            defer { release() }
            let image = FetchedImage(
                digest: Fixtures.digest("b"),
                configuration: ImageConfiguration(command: ["/bin/true"]),
                layers: []
            )
            world.world.pictures.publish(image, as: try ImageReference("slow"))
            func pull(_ caller: Connection) async throws -> [Value] {
                try await world.call("Manager", "PullImage", .string("slow"), .properties([]), .uint64(0), by: caller)
            }
            let first = try await world.withClient { other async throws in
                let first = try await pull(other)
                for _ in 1..<64 { _ = try await pull(other) }
                let error = await #expect(throws: DBusError.self) { try await pull(other) }
                #expect(kind(of: error) == .quotaExceeded, "\(String(describing: error))")
                // What is refused takes no place.
                await #expect(throws: DBusError.self) { try await pull(other) }
                _ = try await pull(world.client)
                return first
            }
            release()
            // They are the agent's: who began them is gone.
            try await world.call("Manager", "WaitOperation", first[1])
            #expect(
                try await world.client.property(
                    "Status",
                    of: AgentInterface.image,
                    at: .image("docker.io/library/slow:latest"),
                    AgentBus.name
                ) == .string("ready")
            )
        }
    }

    @Test func aReaderThatDoesNotReadHoldsUpItsOwnCommandAlone() async throws {
        let size = 16 << 20
        var behaviour = GuestBehaviour()
        behaviour.exec = { request in
            request.program.arguments == ["flood"]
                ? .finishes(stdout: String(repeating: "x", count: size)) : GuestBehaviour.standardCommand(request)
        }
        try await BusWorld.with(behaviour: behaviour, policy: try BusWorld.installedPolicy()) { world async throws in
            let instance = try await world.makeInstance("web")
            func flood() async throws -> [Value] {
                try await world.call("Instance", "OpenExec", at: instance, ["flood"].dbusValue, .properties([]))
            }
            let (slow, closing) = (try await flood(), try await flood())
            guard case .objectPath(let process)? = slow.last, case .objectPath(let other)? = closing.last else {
                throw ToolFailure(description: "\(slow) \(closing)")
            }
            try await expectService(world)
            let quick = try await world.call(
                "Instance",
                "OpenExec",
                at: instance,
                ["hello"].dbusValue,
                .properties([])
            )
            #expect(try await CallerEnd(quick[1]).readToEnd() == Data("hello\n".utf8))
            // Nothing was lost of it, and nothing waits for who does not want it.
            #expect(try await CallerEnd(slow[1]).readToEnd().count == size)
            #expect(try await world.call("Process", "Wait", at: process).first == .int32(0))
            try await CallerEnd(closing[1]).close()
            #expect(try await world.call("Process", "Wait", at: other).first == .int32(0))
        }
    }

    // MARK: What goes away

    @Test func whatACallerBeganGoesOnWithoutIt() async throws {
        try await BusWorld.with(policy: try BusWorld.installedPolicy()) { world async throws in
            let added = try await world.client.signals(MatchRule(sender: AgentBus.name, member: "InterfacesAdded"))
            let request: [(String, Value)] = [("Name", .string("web")), ("Image", .string(AgentWorld.imageName))]
            try await world.withClient { other async throws in
                let call = Task {
                    try await world.call("Manager", "CreateInstance", .properties(request), .uint64(0), by: other)
                }
                for try await signal in added {
                    guard case .objectPath(let path)? = signal.arguments.first, path.instance != nil else { continue }
                    break
                }
                call.cancel()
                _ = await call.result
            }
            let instance = try await world.object("Manager", "GetInstance", .string("web"))
            try await world.call("Instance", "Wait", at: instance, .string("Running"), .uint64(10_000_000))
            #expect(try await world.property("State", of: instance) == .string("Running"))
        }
    }

    @Test func everythingIsThereAgainAfterTheBusCameBack() async throws {
        try await BusWorld.with(policy: try BusWorld.installedPolicy()) { world async throws in
            let instance = try await world.makeInstance("web")
            let volume = try await world.makeVolume("data")
            let command = try await world.call(
                "Instance",
                "OpenExec",
                at: instance,
                ["sleep"].dbusValue,
                .properties([])
            )
            await world.bus.stop()
            // Its caller can neither be told of it nor end it any more.
            #expect(try await CallerEnd(command[1]).readToEnd() == Data())
            _ = try await world.world.instances.stop("web", StopInstanceRequest())
            try await world.bus.start()
            for await _ in world.opens { break }
            try await world.withClient { client async throws in
                let managed = try await client.call(
                    "GetManagedObjects",
                    of: "org.freedesktop.DBus.ObjectManager",
                    at: AgentBus.root,
                    AgentBus.name
                )
                guard case .dictionary(_, _, let entries)? = managed.first else {
                    throw ToolFailure(description: "\(managed)")
                }
                let paths = Set(entries.map(\.key))
                let expected: [ObjectPath] = [
                    instance, volume, .image(AgentWorld.imageName), .network(Network.defaultID),
                ]
                #expect(paths == Set(expected.map { .objectPath($0) }))
                #expect(
                    try await client.property("State", of: AgentInterface.instance, at: instance, AgentBus.name)
                        == .string("Stopped")
                )
                try await world.call("Instance", "Start", at: instance, .uint64(1), by: client)
            }
        }
    }
}

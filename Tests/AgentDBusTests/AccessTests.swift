import AgentCore
import AgentTestSupport
import DBus
import Foundation
import Glibc
import Subprocess
import Synchronization
import SystemPackage
import Testing

@testable import AgentDBus

/// Users who are neither root nor the agent's own.
///
/// Needs root, to be another.
@Suite(.serialized) struct AccessTests {
    private static let nobody = "65534"

    /// Runs busctl as a user, by default one without rights.
    private func busctl(
        _ world: BusWorld,
        user: String = AccessTests.nobody,
        _ arguments: [String]
    ) async throws -> (succeeded: Bool, said: String) {
        let result = try await run(
            .name("setpriv"),
            arguments: Arguments(
                ["--reuid", user, "--clear-groups", "busctl", "--address=\(world.bus.address)"] + arguments
            ),
            output: .string(limit: 1 << 20),
            error: .string(limit: 1 << 20)
        )
        let said = result.standardOutput + result.standardError
        guard case .exited(0) = result.terminationStatus else { return (false, said) }
        return (true, said)
    }

    private func stop(_ instance: ObjectPath) -> [String] {
        ["call", AgentBus.name, "\(instance)", AgentInterface.instance, "Stop", "tt", "0", "1"]
    }

    @Test func withoutPolkitOthersMayDoNothing() async throws {
        try await BusWorld.with(policy: try BusWorld.installedPolicy()) { world async throws in
            let instance = try await world.makeInstance("web")
            let root = "\(AgentBus.root)"
            for arguments in [
                stop(instance), ["get-property", AgentBus.name, "\(instance)", AgentInterface.instance, "State"],
                ["call", AgentBus.name, root, AgentInterface.manager, "ListInstances", "a{sv}", "0"],
                ["call", AgentBus.name, root, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects"],
            ] {
                let (succeeded, said) = try await busctl(world, arguments)
                #expect(!succeeded && said.contains("user 65534 may not do that"), "\(arguments): \(said)")
            }
            // What can be called is no secret, what there is, is one.
            let introspect = ["call", AgentBus.name, root, "org.freedesktop.DBus.Introspectable", "Introspect"]
            let (_, xml) = try await busctl(world, introspect)
            #expect(xml.contains("CreateInstance") && !xml.contains("<node name="), "\(xml)")
            let (_, whole) = try await busctl(world, user: "0", introspect)
            #expect(whole.contains("<node name="), "\(whole)")
            let (mayOwn, refusal) = try await busctl(
                world,
                ["call", "org.freedesktop.DBus", "/", "org.freedesktop.DBus", "RequestName", "su", AgentBus.name, "3"]
            )
            #expect(!mayOwn, "\(refusal)")
            #expect(try await world.property("State", of: instance) == .string("Running"))
        }
    }

    @Test func aRuleOfPolkitAllowsOneThingWithOneInstance() async throws {
        try await BusWorld.with(policy: try BusWorld.installedPolicy()) { world async throws in
            try await Scratch.with { scratch async throws in
                let rule = """
                    polkit.addRule(function(action, subject) {
                        if (subject.user == "nobody" && (action.id == "io.hypeman.agent1.instance.manage"
                            || action.id == "io.hypeman.agent1.instance.read")
                            && action.lookup("name") == "web" && action.lookup("label.team") == "blue")
                            return polkit.Result.YES;
                    });
                    """
                let polkit = try await Polkit.start(world.bus, scratch, rule: rule)
                let web = try await world.makeInstance("web", [("Labels", ["team": "blue"].dbusValue)])
                let other = try await world.makeInstance("other", [("Labels", ["team": "blue"].dbusValue)])
                let (refused, why) = try await busctl(world, stop(other))
                #expect(!refused && why.contains("io.hypeman.agent1.instance.manage"), "\(why)")
                let delete = ["call", AgentBus.name, "\(web)", AgentInterface.instance, "Delete", "t", "1"]
                let (deleted, reason) = try await busctl(world, delete)
                #expect(!deleted && reason.contains("io.hypeman.agent1.instance.delete"), "\(reason)")
                let (stopped, said) = try await busctl(world, stop(web))
                #expect(stopped, "\(said)")
                #expect(try await world.property("State", of: web) == .string("Stopped"))
                #expect(try await world.property("State", of: other) == .string("Running"))
                // What the one instance's operations and figures are, and nobody else's.
                let manager = ["call", AgentBus.name, "\(AgentBus.root)", AgentInterface.manager]
                for (instance, isAllowed) in [(web, true), (other, false)] {
                    let begun = try await world.call("Instance", "Stop", at: instance, .uint64(0), .uint64(0))
                    guard case .objectPath(let operation)? = begun.first else { continue }
                    let (waited, word) = try await busctl(world, manager + ["WaitOperation", "o", "\(operation)"])
                    #expect(waited == isAllowed, "\(word)")
                    let (counted, figures) = try await busctl(world, manager + ["GetStats", "ao", "1", "\(instance)"])
                    #expect(counted == isAllowed, "\(figures)")
                }
                let (all, figures) = try await busctl(world, manager + ["GetStats", "ao", "0"])
                #expect(!all && figures.contains("io.hypeman.agent1.instance.read"), "\(figures)")
                await polkit.stop()
            }
        }
    }

    /// A double of polkit's that remembers what it was asked; its interface is held against the real one's elsewhere.
    @Test func polkitIsToldWhoAndWhatAndWhetherSomebodyMayBeAsked() async throws {
        try await BusWorld.with(policy: try BusWorld.installedPolicy()) { world async throws in
            let asked = Mutex<[Call]>([])
            try await world.withClient { authority async throws in
                await authority.export(
                    [
                        StubAuthority.interface { call in
                            asked.withLock { $0.append(call) }
                            return true
                        }
                    ],
                    at: StubAuthority.path
                )
                try await authority.own(PolkitAuthority.busName)
                let web = try await world.makeInstance("web", [("Labels", ["team": "blue"].dbusValue)])
                let (succeeded, said) = try await busctl(world, ["--allow-interactive-authorization=yes"] + stop(web))
                #expect(succeeded, "\(said)")
                let interactive = try #require(asked.withLock { $0.last })
                #expect(interactive.arguments[1] == .string("io.hypeman.agent1.instance.manage"))
                #expect(interactive.arguments[3] == .uint32(1))
                let details = [String: String](interactive.arguments[2])
                #expect(
                    details == [
                        "instance": web.lastElement ?? "", "name": "web", "image": AgentWorld.imageName,
                        "label.team": "blue",
                    ]
                )
                guard case .structure(let subject) = interactive.arguments[0] else { return }
                #expect(subject.first == .string("system-bus-name"))
                _ = try await busctl(world, ["--allow-interactive-authorization=no"] + stop(web))
                #expect(asked.withLock { $0.last }?.arguments[3] == .uint32(0))
                let root = "\(AgentBus.root)"
                let create = [
                    "call", AgentBus.name, root, AgentInterface.manager, "CreateInstance", "a{sv}t", "2", "Name", "s",
                    "mine",
                    "Image", "s", "test", "0",
                ]
                _ = try await busctl(world, create)
                let creation = try #require(asked.withLock { $0.last })
                #expect(creation.arguments[1] == .string("io.hypeman.agent1.instance.create"))
                #expect([String: String](creation.arguments[2]) == ["name": "mine", "image": AgentWorld.imageName])
            }
        }
    }

    @Test func whatMovesContentsIsMoreThanOneQuestion() async throws {
        try await BusWorld.with(policy: try BusWorld.installedPolicy()) { world async throws in
            let asked = Mutex<[Call]>([])
            let refused = Mutex<String>("")
            /// The actions and some of the details that a call is asked about.
            func questions(_ arguments: [String]) async throws -> (succeeded: Bool, [String]) {
                asked.withLock { $0 = [] }
                let (succeeded, _) = try await busctl(world, ["call", AgentBus.name] + arguments)
                let all = asked.withLock { $0 }.map { call in
                    let details = [String: String](call.arguments[2]) ?? [:]
                    let action = (String(call.arguments[1]) ?? "").split(separator: ".").suffix(2)
                    return "\(action.joined(separator: ".")) \(details["name"] ?? "-") \(details["volume_name"] ?? "-")"
                }
                return (succeeded, all)
            }
            try await world.withClient { authority async throws in
                await authority.export(
                    [
                        StubAuthority.interface { call in
                            asked.withLock { $0.append(call) }
                            return call.arguments[1] != .string("io.hypeman.agent1.\(refused.withLock { $0 })")
                        }
                    ],
                    at: StubAuthority.path
                )
                try await authority.own(PolkitAuthority.busName)
                let web = try await world.makeInstance("web")
                let volume = try await world.makeVolume("data")
                let fork = [
                    "\(web)", AgentInterface.instance, "Fork", "sa{sv}t", "copy", "1", "FromRunning", "b", "true", "1",
                ]
                let commit = [
                    "\(web)", AgentInterface.instance, "Commit", "sa{sv}t", "team/app:2", "0", "1",
                ]
                let attach = [
                    "\(web)", AgentInterface.instance, "AttachVolume", "osa{sv}t", "\(volume)", "/data", "0", "1",
                ]
                let create = [
                    "\(AgentBus.root)", AgentInterface.manager, "CreateInstance", "a{sv}t", "3", "Name", "s", "mine",
                    "Image", "s", "test", "Volumes", "a(ssbt)", "1", "data", "/data", "true", "0", "1",
                ]
                for (arguments, expected) in [
                    (fork, ["instance.fork web -", "instance.create copy -"]),
                    (commit, ["instance.fork web -", "image.write - -"]),
                    (attach, ["volume.attach web data", "instance.manage web -"]),
                    (create, ["instance.create mine -", "volume.attach mine data"]),
                ] {
                    // Each of them is enough to refuse it.
                    for (number, question) in expected.enumerated() {
                        refused.withLock { $0 = String(question.prefix { $0 != " " }) }
                        let (succeeded, all) = try await questions(arguments)
                        #expect(!succeeded && all == Array(expected[...number]), "\(arguments): \(all)")
                    }
                    refused.withLock { $0 = "" }
                    let (succeeded, all) = try await questions(arguments)
                    #expect(all == expected)
                    // Another instance has it by then.
                    #expect(succeeded == (arguments != create), "\(arguments)")
                }
                #expect(world.world.instances.list().map(\.name.rawValue).sorted() == ["copy", "web"])
            }
        }
    }

    @Test func theDoubleIsAsTheRealPolkitIs() async throws {
        try await PrivateBus.with { bus async throws in
            try await Scratch.with { scratch async throws in
                let polkit = try await Polkit.start(bus, scratch, rule: "")
                let real = try await bus.busctl(
                    "introspect",
                    PolkitAuthority.busName,
                    "\(StubAuthority.path)",
                    "org.freedesktop.PolicyKit1.Authority"
                )
                await polkit.stop()
                let line = try #require(real.split(separator: "\n").first { $0.hasPrefix(".CheckAuthorization ") })
                let words = line.split(separator: " ").map(String.init)
                #expect(words[2] == "(sa{sv})sa{ss}us" && words[3] == "(bba{ss})")
            }
        }
    }
}

/// Says yes to what a test wants allowed.
private enum StubAuthority {
    static let path = AgentDBus.path("/org/freedesktop/PolicyKit1/Authority")

    struct Subject: DBusRepresentable {
        static let dbusSignature = "(sa{sv})"
        let dbusValue: Value
        init?(_ value: Value) { dbusValue = value }
    }

    struct Decision: DBusRepresentable {
        static let dbusSignature = "(bba{ss})"
        let dbusValue: Value
        init?(_ value: Value) { dbusValue = value }
    }

    static func interface(_ allows: @escaping @Sendable (Call) -> Bool) -> Interface {
        Interface(
            "org.freedesktop.PolicyKit1.Authority",
            [
                .method(
                    "CheckAuthorization",
                    ["subject", "action_id", "details", "flags", "cancellation_id"],
                    returns: ["result"]
                ) { (call: Call, _: Subject, _: String, _: [String: String], _: UInt32, _: String) in
                    let decision = Decision(
                        .structure([.boolean(allows(call)), .boolean(false), [String: String]().dbusValue])
                    )
                    guard let decision else { throw DBusError.standard(.failed, "no decision") }
                    return decision
                }
            ]
        )
    }
}

/// The real polkitd on a private bus, with the actions of this tree and a rule of a test's.
private final class Polkit: Sendable {
    private let process: Process
    private let exited: AsyncStream<Void>

    private init(_ process: Process, _ exited: AsyncStream<Void>) { (self.process, self.exited) = (process, exited) }

    /// Starts it; returns when it has its name.
    static func start(_ bus: PrivateBus, _ scratch: Scratch, rule: String) async throws -> Polkit {
        chmod(scratch.path.string, 0o755)
        for name in ["rules", "actions"] {
            try FileManager.default.createDirectory(
                atPath: scratch.appending(name).string,
                withIntermediateDirectories: true
            )
            chmod(scratch.appending(name).string, 0o755)
        }
        try FileManager.default.copyItem(
            atPath: "systemd/io.hypeman.agent1.policy",
            toPath: scratch.appending("actions/io.hypeman.agent1.policy").string
        )
        _ = try scratch.write(Array(rule.utf8), to: "rules/50-test.rules")
        for file in ["rules/50-test.rules", "actions/io.hypeman.agent1.policy"] {
            chmod(scratch.appending(file).string, 0o644)
        }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/unshare")
        // It reads the directories of the system alone, so those are covered, for it and nobody else.
        process.arguments = [
            "--mount", "--propagation", "private", "sh", "-c",
            "mount --bind \"$0/rules\" /etc/polkit-1/rules.d && "
                + "mount --bind \"$0/actions\" /usr/share/polkit-1/actions && exec /usr/lib/polkit-1/polkitd --no-debug",
            scratch.path.string,
        ]
        process.environment = ["DBUS_SYSTEM_BUS_ADDRESS": bus.address, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"]
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        process.standardInput = FileHandle.nullDevice
        let (exited, exit) = AsyncStream.makeStream(of: Void.self)
        process.terminationHandler = { _ in exit.finish() }
        let address = try #require(BusAddress(bus.address))
        let watcher = Connection(address: address, logger: BusWorld.silent)
        try await watcher.open()
        let owners = try await watcher.signals(
            MatchRule(
                sender: "org.freedesktop.DBus",
                member: "NameOwnerChanged",
                firstArgument: PolkitAuthority.busName
            )
        )
        try process.run()
        for try await _ in owners { break }
        await watcher.close()
        return Polkit(process, exited)
    }

    func stop() async {
        kill(process.processIdentifier, SIGKILL)
        for await _ in exited {}
    }
}

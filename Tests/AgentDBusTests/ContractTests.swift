import AgentCore
import AgentTestSupport
import DBus
import Foundation
import Testing

@testable import AgentDBus

/// What is published of the interfaces, and what they are.
@Suite(.serialized) struct ContractTests {
    /// One interface, with what of its introspection data matters.
    private struct Published: Hashable {
        var name: String
        /// `method Start(t flags) -> (o operation)` and so on.
        var members: [String]
    }

    @Test func theFilesAndTheObjectsSayTheSame() async throws {
        try await BusWorld.with { world async throws in
            let live = try await interfaces(world)
            let directory = "dbus"
            let files = try FileManager.default.contentsOfDirectory(atPath: directory).filter { $0.hasSuffix(".xml") }
            var written: [String: Published] = [:]
            for file in files {
                let parsed = try Self.parse(try Data(contentsOf: URL(filePath: "\(directory)/\(file)")))
                #expect(parsed.map { "\($0.name).xml" } == [file])
                for interface in parsed { written[interface.name] = interface }
            }
            #expect(Set(live.keys) == Set(written.keys))
            for (name, interface) in live { #expect(interface.members == written[name]?.members, "\(name)") }
        }
    }

    @Test func everyMemberIsInTheTableAndTheOtherWayRound() async throws {
        try await BusWorld.with { world async throws in
            var members: Set<String> = []
            for interface in try await interfaces(world).values {
                let short = try #require(AgentInterface.short(interface.name))
                for member in interface.members {
                    if member.hasPrefix("method ") {
                        members.insert("\(short).\(member.dropFirst(7).prefix { $0 != "(" })")
                    } else if member.hasPrefix("property ") {
                        members.insert("\(short).*")
                    }
                }
            }
            let table = Set(AgentOperation.allCases.flatMap(\.row.dbus))
            #expect(members.subtracting(table) == [], "exported and not in the table")
            #expect(table.subtracting(members) == [], "in the table and not exported")
        }
    }

    @Test func polkitKnowsTheTablesActions() throws {
        let text = try String(contentsOfFile: "systemd/io.hypeman.agent1.policy", encoding: .utf8)
        let written = Set(text.matches(of: /<action id="([^"]+)">/).map { String($0.1) })
        #expect(written == Set(PolkitAction.allCases.map(\.id)))
        let used = Set(AgentOperation.allCases.compactMap(\.row.action))
        #expect(used == Set(PolkitAction.allCases))
        // Polkit lets an agent that is not root pass details only as the owner.
        #expect(text.matches(of: /org.freedesktop.policykit.owner/).count == PolkitAction.allCases.count)
        for operation in AgentOperation.allCases where !operation.row.dbus.isEmpty {
            #expect(operation.row.action != nil || operation == .controlProcess, "\(operation)")
        }
    }

    @Test func theBusLetsThroughWhatIsPublished() async throws {
        let text = try String(contentsOfFile: "systemd/io.hypeman.Agent1.conf", encoding: .utf8)
        let allowed = Set(text.matches(of: /send_interface="([^"]+)"/).map { String($0.1) })
        try await BusWorld.with { world async throws in
            let ours = Set(try await interfaces(world).keys)
            #expect(
                allowed.subtracting(ours) == [
                    "org.freedesktop.DBus.Introspectable", "org.freedesktop.DBus.ObjectManager",
                    "org.freedesktop.DBus.Peer", "org.freedesktop.DBus.Properties",
                ]
            )
            #expect(ours.subtracting(allowed) == [])
        }
    }

    @Test func everyKindOfErrorHasItsOwnName() {
        let names = AgentError.Kind.allCases.map(\.dbusName)
        #expect(Set(names).count == names.count)
        for name in names { #expect(name.wholeMatch(of: /io\.hypeman\.Agent1\.Error\.[A-Z][A-Za-z]+/) != nil) }
        struct Secret: Error {}
        #expect(AgentError(.internal, "it failed", cause: Secret()).dbusError.message == "it failed")
        #expect(AgentError(.alreadyExists, code: "name_conflict", "x").dbusError.message == "x (name_conflict)")
        #expect(AgentError(.notFound, "x").dbusError.message == "x")
    }

    // MARK: Reading introspection data

    /// All of the agent's interfaces, from one object of each kind.
    private func interfaces(_ world: BusWorld) async throws -> [String: Published] {
        let instance = try await world.makeInstance("web")
        let reply = try await world.call(
            "Instance",
            "OpenExec",
            at: instance,
            ["sleep", "1"].dbusValue,
            .properties([])
        )
        // An operation that lasts for as long as it is looked at.
        let release = world.world.pictures.hold(.fetch)
        defer { release() }
        let slow = try ImageReference("slow")
        let image = FetchedImage(
            digest: Fixtures.digest("b"),
            configuration: ImageConfiguration(command: ["/bin/true"]),
            layers: []
        )
        world.world.pictures.publish(image, as: slow)
        let pull = try await world.call("Manager", "PullImage", .string("slow"), .properties([]), .uint64(0))
        guard case .objectPath(let command)? = reply.last, case .objectPath(let operation)? = pull.last else {
            throw ToolFailure(description: "\(reply) \(pull)")
        }
        let paths = [
            AgentBus.root, instance, .image(AgentWorld.imageName), .network(Network.defaultID), operation, command,
        ]
        var found: [String: Published] = [:]
        for path in paths {
            for interface in try await introspect(world, path) { found[interface.name] = interface }
        }
        return found
    }

    private func introspect(_ world: BusWorld, _ path: ObjectPath) async throws -> [Published] {
        let reply = try await world.client.call(
            "Introspect",
            of: "org.freedesktop.DBus.Introspectable",
            at: path,
            AgentBus.name
        )
        guard case .string(let text)? = reply.first else { throw ToolFailure(description: "\(reply)") }
        return try Self.parse(Data(text.utf8)).filter { $0.name.hasPrefix(AgentBus.name) }
    }

    private static func parse(_ data: Data) throws -> [Published] {
        let reader = IntrospectionReader()
        try reader.read(data)
        return reader.interfaces.map { Published(name: $0.name, members: $0.members.sorted()) }
    }
}

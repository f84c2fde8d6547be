import AgentCore
import AgentTestSupport
import DBus
import Foundation
import Glibc
import GuestProtocol
import Logging
import ServiceLifecycle
import Testing

@testable import AgentDBus

/// The agent's objects on a private bus, over real services on doubles, and a client beside it.
struct BusWorld: Sendable {
    let bus: PrivateBus
    let world: AgentWorld
    let client: Connection
    /// An element each time that the agent is on the bus again.
    let opens: AsyncStream<Void>

    static let silent = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })

    /// The installed policy, in place of the open one of private buses.
    static func installedPolicy() throws -> String {
        let text = try String(contentsOfFile: "systemd/io.hypeman.Agent1.conf", encoding: .utf8)
        let start = try #require(text.range(of: "<busconfig>")?.upperBound)
        let end = try #require(text.range(of: "</busconfig>")?.lowerBound)
        // As the system's bus has it before any service's file.
        return "<policy context=\"default\"><deny own=\"*\"/><deny send_type=\"method_call\"/>"
            + "<allow send_destination=\"org.freedesktop.DBus\"/></policy>"
            + "<policy user=\"root\"><allow own=\"*\"/><allow send_type=\"method_call\"/></policy>"
            + "<policy user=\"polkitd\"><allow own=\"org.freedesktop.PolicyKit1\"/></policy>"
            + "<policy context=\"default\"><allow send_destination=\"org.freedesktop.PolicyKit1\"/></policy>"
            + text[start..<end]
    }

    /// Runs `body` while the agent is on a bus.
    static func with(
        behaviour: GuestBehaviour = GuestBehaviour(),
        policy: String = "",
        _ body: @escaping @Sendable (BusWorld) async throws -> Void
    ) async throws {
        // A pipe whose reader is gone is an error of that write, as in the agent.
        signal(SIGPIPE, SIG_IGN)
        try await PrivateBus.with(policy: policy) { bus async throws in
            try await AgentWorld.with(behaviour: behaviour) { world async throws in
                let address = try #require(BusAddress(bus.address))
                let agent = agent(of: world, on: address)
                let (opens, opened) = AsyncStream.makeStream(of: Void.self)
                let group = ServiceGroup(
                    configuration: .init(services: [Running(agent: agent, opened: opened)], logger: silent)
                )
                let world = world
                try await withThrowingTaskGroup(of: Void.self) { tasks async throws in
                    tasks.addTask { try await group.run() }
                    for await _ in opens { break }
                    let client = Connection(address: address, logger: silent)
                    do {
                        try await client.open()
                        try await body(BusWorld(bus: bus, world: world, client: client, opens: opens))
                    } catch {
                        await client.close()
                        await group.triggerGracefulShutdown()
                        throw error
                    }
                    await client.close()
                    await group.triggerGracefulShutdown()
                    try await tasks.waitForAll()
                }
            }
        }
    }

    /// The agent's objects, over a world's services.
    static func agent(
        of world: AgentWorld,
        on address: BusAddress?,
        isRequired: Bool = true,
        logger: Logger = silent
    ) -> AgentBus {
        AgentBus(
            configuration: DBusConfiguration(address: address, isRequired: isRequired),
            instances: world.instances,
            images: world.images,
            volumes: world.volumes,
            resources: world.resources(),
            directory: world.directory,
            network: world.network,
            drivers: [world.hypervisor],
            logger: logger
        )
    }

    private struct Running: Service {
        let agent: AgentBus
        let opened: AsyncStream<Void>.Continuation

        func run() async throws { try await agent.run { opened.yield() } }
    }

    // MARK: Calls

    /// Calls the agent; an error that the table does not allow for the operation is a failure of the test.
    @discardableResult
    func call(
        _ interface: String,
        _ member: String,
        at path: ObjectPath = AgentBus.root,
        _ arguments: Value...,
        by caller: Connection? = nil
    ) async throws -> [Value] {
        do {
            return try await (caller ?? client).call(
                member,
                of: "\(AgentBus.name).\(interface)",
                at: path,
                AgentBus.name,
                arguments,
                timeout: .seconds(60)
            )
        } catch let error as DBusError where error.name.hasPrefix(AgentBus.name) {
            let operation = try #require(AgentOperation.ofDBus(interface, member))
            let kind = AgentError.Kind.allCases.first { $0.dbusName == error.name }
            #expect(kind.map(operation.canFail) == true, "\(operation) fails with \(error)")
            throw error
        }
    }

    /// Calls the agent with something that it must refuse.
    ///
    /// - Returns: The kind and the text of its error; nil kind for one of the bus's or the library's.
    func refusal(
        _ interface: String,
        _ member: String,
        at path: ObjectPath = AgentBus.root,
        _ arguments: Value...
    ) async throws -> (kind: AgentError.Kind?, text: String) {
        do {
            let reply = try await client.call(
                member,
                of: "\(AgentBus.name).\(interface)",
                at: path,
                AgentBus.name,
                arguments,
                timeout: .seconds(60)
            )
            throw ToolFailure(description: "\(member) answers \(reply)")
        } catch let error as DBusError {
            if let kind = kind(of: error), let operation = AgentOperation.ofDBus(interface, member) {
                #expect(operation.canFail(with: kind), "\(operation) fails with \(error)")
            }
            return (kind(of: error), "\(error.name): \(error.message)")
        }
    }

    /// The first result, which is an object's path.
    func object(
        _ interface: String,
        _ member: String,
        at path: ObjectPath = AgentBus.root,
        _ arguments: Value...
    ) async throws -> ObjectPath {
        let reply = try await client.call(
            member,
            of: "\(AgentBus.name).\(interface)",
            at: path,
            AgentBus.name,
            arguments,
            timeout: .seconds(60)
        )
        guard case .objectPath(let object)? = reply.first else { throw ToolFailure(description: "\(reply)") }
        return object
    }

    /// Makes an empty volume.
    func makeVolume(_ name: String, _ more: [(String, Value)] = []) async throws -> ObjectPath {
        let size = ("Size", Value.uint64(1 << 30))
        return try await object("Manager", "CreateVolume", .properties([("Name", .string(name)), size] + more))
    }

    /// A property of an instance.
    func property(_ name: String, of instance: ObjectPath) async throws -> Value {
        try await client.property(name, of: AgentInterface.instance, at: instance, AgentBus.name)
    }

    /// Makes an instance, and waits until it is Running.
    func makeInstance(_ name: String, _ more: [(String, Value)] = []) async throws -> ObjectPath {
        let reply = try await call(
            "Manager",
            "CreateInstance",
            .properties([("Name", .string(name)), ("Image", .string(AgentWorld.imageName))] + more),
            .uint64(1)
        )
        guard case .objectPath(let path)? = reply.first else { throw ToolFailure(description: "\(reply)") }
        let waited = try await call("Instance", "Wait", at: path, .string("Running"), .uint64(10_000_000))
        #expect(waited == [.string("Running"), .boolean(false)])
        return path
    }

    /// Makes another connection, as another program would.
    func withClient<Result: Sendable>(_ body: (Connection) async throws -> Result) async throws -> Result {
        let address = try #require(BusAddress(bus.address))
        let other = Connection(address: address, logger: Self.silent)
        do {
            try await other.open()
            let result = try await body(other)
            await other.close()
            return result
        } catch {
            await other.close()
            throw error
        }
    }
}

/// The kind of an error of the agent's.
func kind(of error: DBusError?) -> AgentError.Kind? {
    AgentError.Kind.allCases.first { $0.dbusName == error?.name }
}

/// A caller's end of a stream, read and written on a thread that may block.
final class CallerEnd: Sendable {
    private let file: FileHandle
    private let queue = DispatchQueue(label: "test.caller-end")

    init(_ value: Value?) throws {
        guard case .descriptor(let descriptor)? = value, let number = descriptor.take() else {
            throw ToolFailure(description: "\(String(describing: value)) is no descriptor")
        }
        file = FileHandle(fileDescriptor: number, closeOnDealloc: true)
    }

    /// Everything until the end.
    func readToEnd() async throws -> Data { try await perform { try $0.readToEnd() ?? Data() } }

    /// Exactly so many bytes, or what there is until the end.
    func read(_ count: Int) async throws -> String {
        try await perform { file in
            var data = Data()
            while data.count < count, let more = try file.read(upToCount: count - data.count), !more.isEmpty {
                data += more
            }
            return String(decoding: data, as: UTF8.self)
        }
    }

    func write(_ data: Data) async throws { try await perform { try $0.write(contentsOf: data) } }
    func close() async throws { try await perform { try $0.close() } }

    private func perform<Result: Sendable>(
        _ body: @escaping @Sendable (FileHandle) throws -> Result
    ) async throws -> Result {
        try await withCheckedThrowingContinuation { continuation in
            queue.async { [file] in continuation.resume(with: Swift.Result { try body(file) }) }
        }
    }
}

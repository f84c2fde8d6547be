import AgentTestSupport
import DBus
import Logging
import Synchronization

let silent = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })

/// A thing on a bus, as a service would export it.
final class Lamp: Sendable {
    static let name = "org.example.Lamps1"
    static let interface = "org.example.Lamps1.Lamp"
    static let root = path("/org/example/Lamps1")

    private let level = Mutex(UInt32(0))

    var brightness: UInt32 {
        get { level.withLock { $0 } }
        set { level.withLock { $0 = newValue } }
    }

    func declaration() -> Interface {
        Interface(
            Self.interface,
            [
                .method("Switch", ["on"], returns: ["was"]) { (_: Call, on: Bool) in
                    let was = self.brightness > 0
                    self.brightness = on ? 100 : 0
                    return was
                },
                .method("Fail") { (_: Call) in
                    throw DBusError(name: "org.example.Lamps1.Error.Broken", message: "the bulb is broken")
                },
                .method("Leak") { (_: Call) in throw Secret() },
                .property("Brightness", get: { self.brightness }, set: { self.brightness = $1 }),
                .property("Colour", .invalidation) { "white" },
                .property("Maker", .constant) { "ACME" },
                .property("Age", .none) { UInt64(7) },
                .signal("Flickered", ["times", "reason"], UInt32.self, String.self),
            ]
        )
    }

    struct Secret: Error {}
}

/// A path that is known to be one.
func path(_ text: String) -> ObjectPath {
    guard let path = ObjectPath(text) else { preconditionFailure("'\(text)' is no object path") }
    return path
}

/// A connection to a private bus, closed afterwards.
func withConnection<Value: Sendable>(
    _ bus: PrivateBus,
    limits: ConnectionLimits = ConnectionLimits(),
    authorizer: any CallAuthorizer = OpenToAll(),
    _ body: (Connection) async throws -> Value
) async throws -> Value {
    let connection = try makeConnection(bus, limits: limits, authorizer: authorizer)
    do {
        try await connection.open()
        let value = try await body(connection)
        await connection.close()
        return value
    } catch {
        await connection.close()
        throw error
    }
}

func makeConnection(
    _ bus: PrivateBus,
    limits: ConnectionLimits = ConnectionLimits(),
    authorizer: any CallAuthorizer = OpenToAll()
) throws -> Connection {
    guard let address = BusAddress(bus.address) else { throw ToolFailure(description: "\(bus.address)") }
    return Connection(address: address, limits: limits, authorizer: authorizer, logger: silent)
}

/// A service with one lamp on a bus, and a client beside it.
func withLamp(
    limits: ConnectionLimits = ConnectionLimits(),
    _ body: (PrivateBus, Connection, Connection) async throws -> Void
) async throws {
    try await PrivateBus.with { bus async throws in
        try await withConnection(bus, limits: limits) { service async throws in
            await service.export([], at: Lamp.root, isObjectManager: true)
            await service.export([Lamp().declaration()], at: Lamp.root.appending(escaped: "desk"))
            try await service.own(Lamp.name)
            try await withConnection(bus) { client async throws in try await body(bus, service, client) }
        }
    }
}

extension Connection {
    /// Calls the lamp.
    func lamp(_ member: String, _ arguments: [Value] = [], timeout: Duration = .seconds(25)) async throws -> [Value] {
        try await call(
            member,
            of: Lamp.interface,
            at: Lamp.root.appending(escaped: "desk"),
            Lamp.name,
            arguments,
            timeout: timeout
        )
    }
}

public import AgentCore
import DBus
import Logging

/// Looks at a bus with the eyes of the agent.
public struct BusCheck: Sendable {
    private static let patience = Duration.seconds(3)
    private static let subject = "D-Bus"

    private let configuration: DBusConfiguration

    public init(_ configuration: DBusConfiguration) { self.configuration = configuration }

    /// What there is to say.
    public func findings() async -> [HostFinding] {
        guard let address = configuration.address else {
            return [HostFinding(.ok, Self.subject, "off: DBUS says so")]
        }
        let connection = Connection(
            address: address,
            logger: Logger(label: "check", factory: { _ in SwiftLogNoOpLogHandler() })
        )
        let found: [HostFinding]
        do {
            found = try await withDeadline(Self.patience, clock: ContinuousClock(), "the bus's answer") {
                try await connection.open()
                return try await look(connection, address)
            }
        } catch {
            found = [unreachable(address, error)]
        }
        await connection.close()
        return found
    }

    private func unreachable(_ address: BusAddress, _ error: any Error) -> HostFinding {
        guard configuration.isRequired else {
            return HostFinding(.ok, Self.subject, "there is no bus at \(address): the agent is reached over HTTP alone")
        }
        return HostFinding(
            .warning,
            Self.subject,
            "the bus at \(address) cannot be used: \(error)",
            fix: "apt-get install dbus, or set DBUS to off"
        )
    }

    private func look(_ connection: Connection, _ address: BusAddress) async throws -> [HostFinding] {
        var found: [HostFinding] = []
        if try await connection.hasOwner(AgentBus.name) {
            found.append(HostFinding(.ok, Self.subject, "\(AgentBus.name) at \(address) is a running agent's"))
        } else {
            do {
                try await connection.own(AgentBus.name)
                found.append(HostFinding(.ok, Self.subject, "\(AgentBus.name) can be had at \(address)"))
            } catch {
                found.append(
                    HostFinding(
                        .warning,
                        Self.subject,
                        "the bus does not let this user have the name \(AgentBus.name): \(error)",
                        fix:
                            "install systemd/io.hypeman.Agent1.conf as /usr/share/dbus-1/system.d/io.hypeman.Agent1.conf, "
                            + "and run as root or as the user that it names"
                    )
                )
            }
        }
        guard try await connection.canReach(PolkitAuthority.busName) else {
            found.append(
                HostFinding(
                    .warning,
                    "polkit",
                    "it is not on the bus: over D-Bus nobody may do anything but root and the agent's own user",
                    fix: "apt-get install polkitd"
                )
            )
            return found
        }
        found.append(HostFinding(.ok, "polkit", "asked about users other than root and the agent's own"))
        return found
    }
}

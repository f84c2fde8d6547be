import AgentCore
import DBus

/// The polkit of the system (org.freedesktop.PolicyKit1.Authority).
struct PolkitAuthority: Sendable {
    static let busName = "org.freedesktop.PolicyKit1"
    private static let interface = "org.freedesktop.PolicyKit1.Authority"
    private static let object = path("/org/freedesktop/PolicyKit1/Authority")
    /// Of CheckAuthorizationFlags.
    private static let allowUserInteraction: UInt32 = 1
    /// Somebody types a password.
    private static let interactivePatience = Duration.seconds(300)

    let connection: Connection

    /// Asks whether a caller may do something.
    ///
    /// - Parameters:
    ///   - caller: Its unique name on the bus; polkit finds out itself who that is.
    ///   - action: What it wants to do.
    ///   - details: What a rule can look at. Polkit takes them of root and of the action's owner, which the packaged file of
    ///     actions names.
    ///   - allowsInteraction: Whether somebody may be asked for a password.
    /// - Returns: Whether it may.
    /// - Throws: ``DBusError`` if polkit is not there, or does not say.
    func allows(
        _ caller: String,
        _ action: PolkitAction,
        details: [String: String],
        allowsInteraction: Bool
    ) async throws -> Bool {
        let subject = Value.structure([.string("system-bus-name"), .properties([("name", .string(caller))])])
        let reply = try await connection.call(
            "CheckAuthorization",
            of: Self.interface,
            at: Self.object,
            Self.busName,
            [
                subject, .string(action.id), details.dbusValue,
                .uint32(allowsInteraction ? Self.allowUserInteraction : 0), .string(""),
            ],
            timeout: allowsInteraction ? Self.interactivePatience : .seconds(25)
        )
        guard case .structure(let result)? = reply.first, case .boolean(let isAuthorized)? = result.first else {
            throw DBusError.standard(.failed, "polkit answers with something else than a decision")
        }
        return isAuthorized
    }
}

public import AgentCore
public import DBus

/// Which bus the agent is on.
public struct DBusConfiguration: Sendable {
    /// nil keeps the agent off every bus.
    public var address: BusAddress?
    /// Whether somebody asked for it: a bus that is not there is then worth more than a line for whoever looks for faults.
    public var isRequired: Bool

    public init(address: BusAddress?, isRequired: Bool) {
        self.address = address
        self.isRequired = isRequired
    }

    /// Finds the bus of a choice.
    ///
    /// - Parameters:
    ///   - choice: As configured.
    ///   - environment: Names the buses.
    /// - Throws: ``AgentError`` `invalidArgument` `invalid_bus` if it names no bus.
    public init(_ choice: BusChoice, environment: [String: String]) throws(AgentError) {
        switch choice {
        case .off: self.init(address: nil, isRequired: false)
        case .auto: self.init(address: .system(environment: environment), isRequired: false)
        case .system: self.init(address: .system(environment: environment), isRequired: true)
        case .session:
            guard let address = BusAddress.session(environment: environment) else {
                throw AgentError(
                    .invalidArgument,
                    code: "invalid_bus",
                    "DBUS is 'session', but neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR says where that is"
                )
            }
            self.init(address: address, isRequired: true)
        case .address(let text):
            guard let address = BusAddress(text) else {
                throw AgentError(
                    .invalidArgument,
                    code: "invalid_bus",
                    "DBUS is '\(text.prefix(200))', which is not the address of a unix socket"
                )
            }
            self.init(address: address, isRequired: true)
        }
    }
}

/// Which of the agent's drivers runs an instance.
public struct HypervisorSelection: Sendable {
    private let drivers: [any HypervisorDriver]
    private let preferred: HypervisorName?

    /// - Parameters:
    ///   - drivers: All of them, the better first.
    ///   - configuration: Names the preferred one, or leaves it to what works.
    public init(drivers: [any HypervisorDriver], configuration: InstancesConfiguration) {
        self.drivers = drivers
        self.preferred = configuration.hypervisor
    }

    /// The driver of a name.
    ///
    /// - Throws: `notSupported` if this agent has none of that name.
    public func driver(named name: HypervisorName) throws(AgentError) -> any HypervisorDriver {
        guard let driver = drivers.first(where: { $0.name == name }) else {
            let known = drivers.map(\.name.rawValue).joined(separator: ", ")
            throw AgentError(.notSupported, "hypervisor '\(name)' is not available here; this agent has: \(known)")
        }
        return driver
    }

    /// The driver for an instance: the one that it names, else the configured one, else the first that works here.
    ///
    /// - Throws: `notSupported` for an unknown name; `unavailable` with every driver's reason.
    public func select(_ name: HypervisorName?) async throws -> (any HypervisorDriver, HypervisorInformation) {
        if let name = name ?? preferred {
            let driver = try driver(named: name)
            return (driver, try await driver.information())
        }
        var reasons: [String] = []
        for driver in drivers {
            do {
                return (driver, try await driver.information())
            } catch {
                reasons.append("\(driver.name): \(error)")
            }
        }
        throw AgentError(.unavailable, "no hypervisor works on this host (\(reasons.joined(separator: "; ")))")
    }
}

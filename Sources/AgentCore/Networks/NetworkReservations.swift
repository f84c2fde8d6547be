import Synchronization

/// Which instance has which address and which of the host's ports: from the moment its create is accepted, before
/// anything is stored, until its delete is done.
final class NetworkReservations: Sendable {
    private struct State {
        var pool: AddressPool?
        var addresses: [InstanceID: IPv4Address] = [:]
        var ports: [PublishedPort.Key: InstanceName] = [:]
    }

    private let state: Mutex<State>

    /// Those of a network; without one there are ports only, and nobody asks for them.
    init(network: Network?) { state = Mutex(State(pool: network.map { AddressPool(network: $0) })) }

    /// Takes what is stored.
    ///
    /// - Parameters:
    ///   - instances: All there are.
    ///   - last: The last address that was given.
    func restore(_ instances: [Instance], last: IPv4Address?) {
        state.withLock { state in
            if let pool = state.pool { state.pool = AddressPool(network: pool.network, last: last) }
            for instance in instances {
                for port in instance.specification.publishedPorts {
                    state.ports[port.key] = instance.name
                }
                guard let attachment = instance.attachment, attachment.network == state.pool?.network.id,
                    state.pool?.take(attachment.address) == true
                else { continue }
                state.addresses[instance.id] = attachment.address
            }
        }
    }

    /// Takes the ports that an instance publishes, all or none.
    ///
    /// - Throws: `alreadyExists` `port_in_use`, naming the instance that has one.
    func takePorts(_ ports: [PublishedPort], for name: InstanceName) throws(AgentError) {
        let conflict = state.withLock { state -> (PublishedPort, InstanceName)? in
            for port in ports {
                if let holder = state.ports[port.key] { return (port, holder) }
            }
            for port in ports { state.ports[port.key] = name }
            return nil
        }
        if let (port, holder) = conflict { throw .portInUse(port, by: holder.rawValue) }
    }

    /// Takes an address for an instance, in place of one that it had.
    ///
    /// - Throws: `quotaExceeded` `subnet_full`; an address that it had is still its own then.
    func takeAddress(for id: InstanceID) throws(AgentError) -> IPv4Address? {
        let result: Result<IPv4Address?, AgentError> = state.withLock { state in
            guard state.pool != nil else { return .success(nil) }
            do throws(AgentError) {
                let address = try state.pool?.next()
                if let former = state.addresses[id] { state.pool?.free(former) }
                state.addresses[id] = address
                return .success(address)
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    /// Gives back all that an instance has.
    func release(_ id: InstanceID, ports: [PublishedPort], name: InstanceName) {
        state.withLock { state in
            if let address = state.addresses.removeValue(forKey: id) { state.pool?.free(address) }
            for port in ports {
                if state.ports[port.key] == name { state.ports[port.key] = nil }
            }
        }
    }
}

extension AgentError {
    /// An address, or the device that goes with it, of another instance.
    public static func addressInUse(_ attachment: NetworkAttachment, by instance: String) -> AgentError {
        AgentError(
            .alreadyExists,
            code: "address_in_use",
            "the address \(attachment.address) of network '\(attachment.network)', or the device \(attachment.tap), belongs "
                + "to instance '\(instance)'"
        )
    }

    /// A port of the host that another instance publishes.
    public static func portInUse(_ port: PublishedPort, by instance: String) -> AgentError {
        AgentError(
            .alreadyExists,
            code: "port_in_use",
            "port \(port.hostPort)/\(port.transport.rawValue) of the host is published by instance '\(instance)', also "
                + "while that is stopped: choose another, or delete that instance first"
        )
    }
}

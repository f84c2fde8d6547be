import Logging
import Synchronization

/// The network that instances are on, as their controllers see it: addresses from creation to deletion, devices from
/// start to stop, and a host that agrees with both.
///
/// Attaching and detaching go on side by side; bringing the host in line has it to itself, so that it never removes what
/// is being attached.
final class InstancesNetwork: Sendable {
    private struct State {
        /// Who is to be attached.
        var attached: [InstanceID: NetworkEndpoint] = [:]
        /// Journalled devices whose owner no longer uses them, for as long as they may be there.
        var leftovers: [InstanceID: HostResource] = [:]
        /// What the last reconcile after the start said; nil if it went well.
        var problem: String?
    }

    /// Between one look at the host and the next.
    static let interval = Duration.seconds(60)
    private static let width = 32

    let backend: any NetworkBackend
    private let store: any StateStore
    private let time: TimeSource
    private let logger: Logger
    private let reservations: NetworkReservations
    private let gate = FairSemaphore(width: width)
    private let state = Mutex(State())
    private let maintenance = Mutex<Task<Void, Never>?>(nil)
    private let (faults, fault) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))

    init(backend: any NetworkBackend, store: any StateStore, time: TimeSource, logger: Logger) {
        self.backend = backend
        self.store = store
        self.time = time
        self.logger = logger
        reservations = NetworkReservations(network: backend.network)
    }

    /// The network, as it is now.
    var network: Network? { backend.network }

    // MARK: Addresses and ports

    /// Takes an address and the ports that are to be published.
    ///
    /// - Returns: The place on the network, and what to store in the same transaction; nil without a network.
    /// - Throws: `alreadyExists` `port_in_use`, `quotaExceeded` `subnet_full`; nothing is taken then.
    func reserve(
        for id: InstanceID,
        _ specification: InstanceSpecification
    ) throws(AgentError) -> (NetworkAttachment, StateChange)? {
        guard specification.networkEnabled else { return nil }
        try reservations.takePorts(specification.publishedPorts, for: specification.name)
        do throws(AgentError) {
            return try place(for: id)
        } catch {
            reservations.release(id, ports: specification.publishedPorts, name: specification.name)
            throw error
        }
    }

    /// Gives back what ``reserve(for:_:)`` took.
    func release(_ id: InstanceID, _ specification: InstanceSpecification) {
        reservations.release(id, ports: specification.publishedPorts, name: specification.name)
    }

    /// A new place on the network, in place of any that it had.
    private func place(for id: InstanceID) throws(AgentError) -> (NetworkAttachment, StateChange)? {
        guard let network, let address = try reservations.takeAddress(for: id) else { return nil }
        return (backend.attachment(at: address), .setLastAddress(network: network.id, address))
    }

    /// The place that an instance that is about to start must have, where that is not the one that it has.
    ///
    /// It keeps its address for life, unless the agent's subnet was changed and the address is not in it.
    ///
    /// - Returns: The new place, and what to store with it; nil if all is as it should be.
    /// - Throws: `notSupported` `network_unavailable` if the agent has no network any more; `quotaExceeded`.
    func replacement(for instance: Instance) throws(AgentError) -> (NetworkAttachment, StateChange)? {
        guard instance.specification.networkEnabled else { return nil }
        guard let network else {
            let former = instance.attachment.map { " with the address \($0.address)" } ?? ""
            throw AgentError(
                .notSupported,
                code: "network_unavailable",
                "instance '\(instance.name)' was made for a network\(former), and the agent's network backend is "
                    + "'\(backend.name)' now: start the agent with the one that it had, or make the instance anew"
            )
        }
        guard let attachment = instance.attachment, isOn(network, attachment) else {
            return try place(for: instance.id)
        }
        let current = backend.attachment(at: attachment.address)
        guard current != attachment else { return nil }
        return (current, .setLastAddress(network: network.id, attachment.address))
    }

    private func isOn(_ network: Network, _ attachment: NetworkAttachment) -> Bool {
        attachment.network == network.id && network.offers(attachment.address)
    }

    // MARK: Devices

    /// Connects an instance; its device is in the journal already.
    func attach(_ endpoint: NetworkEndpoint) async throws {
        try await gate.withTurn {
            state.withLock { state in
                state.attached[endpoint.instance] = endpoint
                state.leftovers[endpoint.instance] = nil
            }
            do {
                try await backend.attach(endpoint)
            } catch {
                state.withLock { $0.attached[endpoint.instance] = nil }
                noteFault(error)
                throw error
            }
        }
    }

    /// Disconnects an instance, also for a caller that was cancelled.
    func detach(_ endpoint: NetworkEndpoint) async throws {
        // What is half removed because nobody waited for it would be found again only by the next reconcile.
        try await Task {
            try await gate.withTurn {
                state.withLock { $0.attached[endpoint.instance] = nil }
                do {
                    try await backend.detach(endpoint)
                } catch {
                    state.withLock { $0.leftovers[endpoint.instance] = endpoint.resource }
                    noteFault(error)
                    throw error
                }
            }
        }.value
    }

    /// A failure that a look at the host may mend; a port that is taken is none.
    private func noteFault(_ error: any Error) {
        if let error = error as? AgentError, [.alreadyExists, .quotaExceeded, .notSupported].contains(error.kind) {
            return
        }
        fault.yield()
    }

    // MARK: The host

    /// Takes up what is stored.
    ///
    /// - Parameters:
    ///   - stored: What it is.
    ///   - running: The instances whose machines live, or lived when the agent last looked.
    func restore(_ stored: StoredState, running: [Instance]) {
        reservations.restore(stored.instances, last: backend.network.flatMap { stored.lastAddresses[$0.id] })
        guard let network else { return }
        state.withLock { state in
            for instance in running {
                guard let endpoint = instance.endpoint else { continue }
                guard isOn(network, endpoint.attachment) else {
                    logger.warning(
                        "the instance's address is not in the agent's subnet any more; it gets another when it is restarted",
                        metadata: [
                            "instance": "\(instance.id)", "name": "\(instance.name)",
                            "address": "\(endpoint.attachment.address)", "subnet": "\(network.subnet)",
                        ]
                    )
                    continue
                }
                state.attached[instance.id] = endpoint
            }
            for resource in stored.resources where resource.kind == .network {
                if state.attached[resource.owner] == nil { state.leftovers[resource.owner] = resource }
            }
        }
    }

    /// Brings the host in line with who is attached.
    ///
    /// - Throws: What the backend says.
    func reconcile() async throws {
        let removed = try await gate.withAllTurns {
            let (endpoints, leftovers) = state.withLock { state in
                (state.attached.values.sorted { $0.instance.rawValue < $1.instance.rawValue }, state.leftovers)
            }
            try await backend.reconcile(endpoints)
            return leftovers
        }
        // A backend without a network removed nothing.
        guard !removed.isEmpty, network != nil else { return }
        try await store.commit(removed.values.map(StateChange.forgetResource))
        state.withLock { state in
            for (id, resource) in removed where state.leftovers[id] == resource { state.leftovers[id] = nil }
        }
    }

    /// Looks at the host now and then, after faults, and when it changes, until ``stop()``.
    func maintain() {
        maintenance.withLock { maintenance in
            guard maintenance == nil else { return }
            maintenance = Task { await self.follow() }
        }
    }

    private func follow() async {
        await withDiscardingTaskGroup { group in
            group.addTask {
                while (try? await self.time.clock.sleep(for: Self.interval)) != nil { self.fault.yield() }
            }
            group.addTask {
                for await _ in self.backend.changes { self.fault.yield() }
            }
            for await _ in faults {
                do {
                    try await reconcile()
                    await report(nil)
                } catch is CancellationError {
                    break
                } catch {
                    await report("\(error)")
                }
            }
            group.cancelAll()
        }
    }

    /// Says when the network broke, and when it is right again, once each.
    private func report(_ problem: String?) async {
        let isNew = state.withLock { state in
            defer { state.problem = problem }
            return state.problem != problem
        }
        guard isNew else { return }
        if let problem {
            logger.error("the host's network could not be brought in line", metadata: ["error": "\(problem)"])
        } else {
            logger.notice("the host's network is in line again")
        }
        let draft = EventDraft(
            time: time.now(),
            kind: .networkState,
            subject: network?.id ?? backend.name,
            attributes: problem.map { ["state": "failed", "error": $0] } ?? ["state": "ready"]
        )
        do {
            try await store.commit([.appendEvent(draft)])
        } catch {
            logger.error("event not stored", metadata: ["event": "network.state", "error": "\(error)"])
        }
    }

    /// Ends the looking; devices stay.
    func stop() async {
        let task = maintenance.withLock { maintenance in
            defer { maintenance = nil }
            return maintenance
        }
        task?.cancel()
        await task?.value
    }
}

extension NetworkEndpoint {
    /// Its entry in the journal.
    var resource: HostResource { HostResource(owner: instance, kind: .network, value: attachment.tap) }
}

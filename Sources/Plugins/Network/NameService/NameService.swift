import AgentCore
import Glibc
import Logging
import SystemPackage

/// One dnsmasq for one network: it answers DHCP and DNS on the bridge, and forwards the names that are not instances'.
///
/// dnsmasq outlives the agent, as VMMs do; ``start(mtu:)`` takes over the one that runs. Instances come and go by files
/// that it watches, so it is never restarted for one. ``release()`` or ``stop()`` ends the supervision.
actor NameService {
    let configuration: BridgeConfiguration
    let network: HostNetwork
    let supervisor: any ProcessSupervisor
    let files: NameServiceFiles
    let logger: Logger
    let clock: any Clock<Duration>
    /// Starts, restarts and stops come one after the other.
    private let turn = FairSemaphore(width: 1)

    private var mtu = Network.defaultMTU
    /// The dnsmasq that answers; nil while there is none.
    private(set) var running: Running?
    private var supervision: Task<Void, Never>?
    /// While it runs, what is removed waits for its end to be forgotten.
    private var rest: Task<Void, Never>?
    private var isStale = false

    /// A dnsmasq and what it was told.
    struct Running: Sendable {
        var process: any SupervisedProcess
        var configuration: NameServiceConfiguration
    }

    /// How long dnsmasq may take to answer its first query, and to end: it does either in milliseconds.
    static let patience = Duration.seconds(10)
    /// Between two readings of everything, which take dnsmasq longer the more instances there are: 26 ms with 500.
    static let rereadPause = Duration.seconds(1)
    static let dnsmasq = HostTool(name: "dnsmasq", package: "dnsmasq-base")

    init(
        configuration: BridgeConfiguration,
        network: HostNetwork,
        supervisor: any ProcessSupervisor,
        logger: Logger,
        clock: any Clock<Duration> = ContinuousClock()
    ) {
        self.configuration = configuration
        self.network = network
        self.supervisor = supervisor
        self.logger = logger
        self.clock = clock
        files = NameServiceFiles(directory: configuration.directory)
    }

    deinit {
        supervision?.cancel()
        rest?.cancel()
    }

    /// Sees to it that one dnsmasq answers with the present configuration.
    ///
    /// One that does already is taken over; one that was told something else, or does not answer, is replaced. The
    /// bridge must be there and have its address. Idempotent.
    ///
    /// - Parameter mtu: What clients are told, in bytes.
    /// - Throws: `unavailable` if dnsmasq is not installed or does not start, with its last words; `invalidState`
    ///   without a bridge.
    func start(mtu: Int) async throws {
        try await turn.withTurn {
            self.mtu = mtu
            let wanted = try await makeConfiguration()
            if let running, running.configuration == wanted, await answers() { return }
            await endSupervision()
            try await files.prepare()
            let found = try await supervisor.find(mark: wanted.mark)
            let current = try await supervisor.find(mark: wanted.current)
            if found.count == 1, let process = current.first, await answers() {
                logger.debug("dnsmasq is taken over", metadata: ["pid": "\(process.identity.pid)"])
                supervise(Running(process: process, configuration: wanted))
                return
            }
            for process in found { try await end(process) }
            supervise(try await launch(wanted))
        }
    }

    /// Makes an instance known under its name, and its address known to its DHCP client.
    ///
    /// Idempotent.
    func put(_ endpoint: NetworkEndpoint) async throws {
        try await files.put(endpoint)
    }

    /// Forgets an instance.
    ///
    /// Idempotent.
    func remove(_ endpoint: NetworkEndpoint) async throws {
        if try await files.remove(endpoint) { reread() }
    }

    /// Makes the given instances known and no others.
    func reconcile(_ endpoints: [NetworkEndpoint]) async throws {
        if try await files.reconcile(endpoints) { reread() }
    }

    /// Ends dnsmasq and removes its files.
    ///
    /// Idempotent.
    func stop() async throws {
        try await turn.withTurn {
            await endSupervision()
            for process in try await supervisor.find(mark: mark) { try await end(process) }
            try await files.removeAll()
        }
    }

    /// Ends the supervision; dnsmasq runs on.
    func release() async {
        await endSupervision()
    }

    /// Among the arguments of every dnsmasq of this network.
    var mark: String { NameServiceConfiguration(configuration, device: 0, mtu: mtu).mark }

    /// dnsmasq notices all changes of names, and what is added to the directory of reservations; what is removed there it
    /// forgets when it reads all again.
    ///
    /// At once, and for what is removed soon after, together: a reservation that is left is nobody's, or the same for the
    /// address's next owner.
    private func reread() {
        guard rest == nil else {
            isStale = true
            return
        }
        isStale = false
        running?.process.signal(SIGHUP)
        rest = Task { [weak self, clock] in
            // Throws when the supervision ends.
            guard (try? await clock.sleep(for: Self.rereadPause)) != nil else { return }
            await self?.endRest()
        }
    }

    private func endRest() {
        rest = nil
        if isStale { reread() }
    }

    private func supervise(_ first: Running) {
        running = first
        supervision = Task { [weak self, clock] in
            var running = first
            var backOff = BackOff()
            while true {
                let began = ContinuousClock.now
                guard let exit = try? await running.process.waitForExit() else { return }
                await self?.noteExit(of: running, exit)
                backOff.note(lifetime: began.duration(to: .now))
                repeat {
                    // Throws when the supervision ends, and only then.
                    guard (try? await clock.sleep(for: backOff.next())) != nil, let self else { return }
                    guard let next = await self.relaunch() else { continue }
                    running = next
                    break
                } while !Task.isCancelled
                if Task.isCancelled { return }
            }
        }
    }

    private func noteExit(of ended: Running, _ exit: ProcessExit) async {
        running = nil
        let words = await files.lastLines()
        logger.error(
            "dnsmasq has ended and is started again",
            metadata: ["pid": "\(ended.process.identity.pid)", "exit": "\(exit)", "output": "\(words)"]
        )
    }

    /// Starts dnsmasq anew after it has ended by itself; nil if that did not work, which is logged.
    private func relaunch() async -> Running? {
        do {
            running = try await launch(try await makeConfiguration())
            return running
        } catch {
            if !Task.isCancelled { logger.error("dnsmasq does not start", metadata: ["error": "\(error)"]) }
            return nil
        }
    }

    private func endSupervision() async {
        supervision?.cancel()
        await supervision?.value
        supervision = nil
        rest?.cancel()
        rest = nil
        if isStale { running?.process.signal(SIGHUP) }
        isStale = false
        running = nil
    }

    private func makeConfiguration() async throws -> NameServiceConfiguration {
        let name = configuration.bridge
        let device = try await network.run { if_nametoindex(name) }
        guard device > 0 else {
            throw AgentError(.invalidState, "there is no bridge '\(name)' for the name service to answer on")
        }
        return NameServiceConfiguration(configuration, device: device, mtu: mtu)
    }
}

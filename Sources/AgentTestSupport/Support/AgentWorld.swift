public import AgentCore
import Foundation
import GuestProtocol
import Logging
public import SystemPackage

/// AgentCore's services on doubles of every port, and the means to restart the agent on the same host.
///
/// Times are real: nothing in the doubles waits, so what a test waits for comes at once.
public struct AgentWorld: Sendable {
    public let host: InMemoryHost
    public let pictures: InMemoryImages
    public let logs: InMemoryLogs
    /// What the doubles are asked.
    public let calls: PortCalls
    public let runtime: FilePath
    public let bootTimeout: Duration
    public let time: TimeSource
    public private(set) var disks: InMemoryDisks
    public private(set) var snapshots: InMemorySnapshots
    public private(set) var store: InMemoryStateStore
    public private(set) var network: InMemoryNetwork
    public private(set) var hypervisor: InMemoryHypervisor
    public private(set) var images: ImagesService
    public private(set) var instances: InstancesService
    public private(set) var directory: InstanceDirectory
    /// Makes the services of one life of the agent.
    private let beginLife:
        @Sendable (InMemoryHypervisor, InMemoryStateStore, InMemoryNetwork, InMemoryDisks, InMemorySnapshots) -> (
            InstanceDirectory, ImagesService, InstancesService
        )

    /// The name of the image that ``with(behaviour:bootTimeout:network:time:_:)`` makes ready.
    public static let imageName = "docker.io/library/test:latest"

    /// Runs `body` with a fresh world that has one ready image, and removes what it left on disk.
    public static func with(
        behaviour: GuestBehaviour = GuestBehaviour(),
        bootTimeout: Duration = .seconds(60),
        network: InMemoryNetwork = InMemoryNetwork(),
        time: TimeSource = .system,
        _ body: (inout AgentWorld) async throws -> Void
    ) async throws {
        var world = AgentWorld(behaviour: behaviour, bootTimeout: bootTimeout, network: network, time: time)
        defer { try? FileManager.default.removeItem(atPath: world.runtime.string) }
        let reference = try ImageReference(imageName)
        world.pictures.publish(
            FetchedImage(
                digest: Fixtures.digest(),
                configuration: ImageConfiguration(
                    entrypoint: ["/bin/server"],
                    command: ["--port", "80"],
                    environment: ["A=image", "B=image"]
                ),
                layers: []
            ),
            as: reference
        )
        _ = try await world.images.pull(reference)
        _ = try await world.images.wait(reference)
        do {
            try await body(&world)
        } catch {
            await world.shutDown()
            throw error
        }
        await world.shutDown()
    }

    private init(behaviour: GuestBehaviour, bootTimeout: Duration, network: InMemoryNetwork, time: TimeSource) {
        let calls = PortCalls()
        let (host, store) = (InMemoryHost(behaviour: behaviour, calls: calls), InMemoryStateStore(calls: calls))
        let (pictures, disks, logs) = (InMemoryImages(), InMemoryDisks(calls: calls), InMemoryLogs())
        network.report(to: calls)
        let runtime = FilePath(FileManager.default.temporaryDirectory.path).appending(
            "world-\(UUID().uuidString.prefix(8))"
        )
        let snapshots = InMemorySnapshots(root: runtime.appending("snapshots"), calls: calls)
        (self.snapshots, self.calls) = (snapshots, calls)
        beginLife = { hypervisor, store, network, disks, snapshots in
            let logger = Logger(label: "world", factory: { _ in SwiftLogNoOpLogHandler() })
            let configuration = InstancesConfiguration(
                runtimeDirectory: runtime,
                kernel: "/nonexistent/vmlinux",
                initrd: "/nonexistent/initrd",
                hypervisor: nil,
                maximumVCPUs: 4,
                maximumMemory: .gibibytes(4),
                maximumOverlaySize: .gibibytes(20),
                bootTimeout: bootTimeout
            )
            let directory = InstanceDirectory()
            let images = ImagesService(
                configuration: ImagesConfiguration(maximumConcurrentBuilds: 2),
                store: store,
                registry: pictures,
                archives: pictures,
                builder: pictures,
                disks: pictures,
                writer: pictures,
                instances: directory,
                time: time,
                logger: logger
            )
            let instances = InstancesService(
                configuration: configuration,
                store: store,
                directory: directory,
                images: images,
                imageStore: pictures,
                disks: disks,
                snapshots: snapshots,
                logs: logs,
                network: network,
                hypervisors: HypervisorSelection(drivers: [hypervisor], configuration: configuration),
                time: time,
                logger: logger
            )
            return (directory, images, instances)
        }
        hypervisor = InMemoryHypervisor(host: host)
        (self.host, self.store, self.network) = (host, store, network)
        (self.pictures, self.disks, self.logs) = (pictures, disks, logs)
        (self.runtime, self.bootTimeout, self.time) = (runtime, bootTimeout, time)
        (directory, images, instances) = beginLife(hypervisor, store, network, disks, snapshots)
    }

    /// Ends the agent's life as `kill -9` does, begins the next one on the same host and state, and recovers.
    ///
    /// - Parameters:
    ///   - rebootingHost: Whether the host goes through a reboot meanwhile.
    ///   - subnet: The agent's subnet from now on; nil leaves it without a network.
    ///   - meanwhile: What happens on the host while there is no agent.
    /// - Throws: What the recovery throws.
    public mutating func restart(
        rebootingHost: Bool = false,
        subnet: String? = "10.100.0.0/16",
        meanwhile: @Sendable () -> Void = {}
    ) async throws {
        let previous = instances
        hypervisor = hypervisor.restarted()
        network = network.restarted(as: subnet)
        store = store.restarted()
        (disks, snapshots) = (disks.restarted(), snapshots.restarted())
        calls.endLife()
        await previous.shutDown()
        if rebootingHost { host.reboot() }
        meanwhile()
        (directory, images, instances) = beginLife(hypervisor, store, network, disks, snapshots)
        let state = try await store.load()
        try await images.recover(state.images, keepingDisksOf: state.usedImages)
        try await instances.recover(state, bootID: rebootingHost ? "another boot" : state.bootID ?? "boot")
    }

    private func shutDown() async {
        calls.endLife()
        await instances.shutDown()
        await images.shutDown()
    }

    /// A request for an instance of the ready image.
    public func request(_ name: String) throws -> CreateInstanceRequest {
        CreateInstanceRequest(name: try InstanceName(name), image: try ImageReference(Self.imageName))
    }

    /// Creates an instance and waits until it is in `state`.
    public func make(_ name: String, in state: InstanceState = .running) async throws -> Instance {
        let instance = try await instances.create(try request(name))
        return try await wait(instance.id, for: state)
    }

    /// Waits until there is a conversation with an instance's guest.
    public func awaitChannel(_ instance: Instance) async throws {
        let request = ExecRequest(program: GuestProgram(arguments: ["true"], environment: []))
        _ = try await instances.exec(instance.id.rawValue, request, patience: .seconds(10))
    }

    /// Waits until an instance is in `state`, at most ten seconds.
    ///
    /// - Throws: ``ConformanceFailure`` if it does not come to that.
    public func wait(_ id: InstanceID, for state: InstanceState) async throws -> Instance {
        let result = try await instances.wait(id.rawValue, for: state, timeout: .seconds(10))
        try require(result.instance.state == state, "\(result.instance.name) is \(result.instance.state), not \(state)")
        return result.instance
    }
}

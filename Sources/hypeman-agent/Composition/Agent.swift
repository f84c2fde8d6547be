import AgentCore
import AgentDBus
import AgentHTTP
import Foundation
import Logging
import ServiceLifecycle

/// The whole agent, as the graph builds it.
struct Agent: Service {
    let store: any StateStore
    let network: any NetworkBackend
    let instances: InstancesService
    let images: ImagesService
    let volumes: VolumesService
    let pushes: PushService
    let information: AgentInformation
    let server: AgentHTTPServer
    let bus: AgentBus
    let logger: Logger

    /// Takes up what an earlier life left; afterwards requests can be served.
    func start() async throws {
        let clock = ContinuousClock()
        let began = clock.now
        let boot = try String(contentsOfFile: "/proc/sys/kernel/random/boot_id", encoding: .utf8)
        let state = try await store.load()
        // Images first: an instance whose start is taken up needs its root disk's configuration.
        try await images.recover(state.images, keepingDisksOf: state.usedImages)
        // Who has them is decided before anybody starts.
        try await volumes.recover(state)
        try await instances.recover(state, bootID: boot.trimmingCharacters(in: .whitespacesAndNewlines))
        logger.info(
            "agent started",
            metadata: [
                "version": "\(AgentVersion.current)", "instances": "\(state.instances.count)",
                "images": "\(state.images.count)",
                "network": "\(network.name)", "took": "\(clock.now - began)",
            ]
        )
        reportHypervisors()
    }

    /// What there is, for people.
    var status: String {
        let all = instances.list()
        let running = all.filter { $0.state == .running }.count
        return "\(all.count) instances, \(running) of them Running"
    }

    /// Goes once through what an answer needs: threads, event loops, services, and the state on disk.
    func probe() async throws {
        try await EventLoopProbe.check()
        _ = instances.list()
        _ = try await store.events(after: 0, limit: 1)
    }

    private func reportHypervisors() {
        for hypervisor in information.hypervisors {
            logger.info(
                "hypervisor",
                metadata: [
                    "hypervisor": "\(hypervisor.name)", "version": "\(hypervisor.version)",
                    "accelerator": "\(hypervisor.accelerator.rawValue)",
                ]
            )
            if let reason = hypervisor.acceleratorReason {
                logger.warning(
                    "guests run in software emulation, about ten times slower than under KVM",
                    metadata: ["reason": "\(reason)"]
                )
            }
        }
    }

    /// Waits for the agent's end, then lets go of machines and images.
    func run() async throws {
        try await withThrowingTaskGroup { group in
            group.addTask { await pushes.sweepRepeatedly() }
            try await gracefulShutdown()
            group.cancelAll()
        }
        await instances.shutDown()
        await images.shutDown()
    }
}

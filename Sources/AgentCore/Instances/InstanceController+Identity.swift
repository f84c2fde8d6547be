import Foundation
import GuestProtocol
import Logging

extension InstanceController {
    /// How long a guest may take to become another one.
    private static let identityDeadline = Duration.seconds(10)
    /// How often it is tried, each time on a new connection, before the machine is given up.
    private static let identityAttempts = 3
    /// How long a fork may take to answer and to become another one.
    private static let identityPatience = Duration.seconds(60)

    /// Takes note of what a guest can, as far as this agent asks for it: the rest is a stranger's words.
    func note(_ hello: GuestHello) async {
        let features = GuestFeature.all.intersection(hello.features).sorted()
        guard instance.guestFeatures != features else { return }
        await observe(.guestKnown(features: features))
    }

    /// Tells the guest in a memory that was copied who it is: before anything else is asked of it.
    ///
    /// - Throws: What went wrong; the machine was killed if there is no use in trying again. It must not run on with the
    ///   random numbers and the name of another.
    func identify(_ channel: any GuestChannel, of machine: any VirtualMachine) async throws {
        guard let former = instance.formerIdentity else { return }
        // It answers, so it runs, which may still have to be seen.
        _ = try await wait(within: Self.identityPatience) { $0.state != .paused }
        let identity = GuestIdentity(
            news: news(of: .restored),
            instance: id.rawValue,
            hostname: instance.name.rawValue,
            machineID: UUID().uuidString.filter { $0 != "-" }.lowercased(),
            formerMAC: former.mac?.description,
            network: GuestConfiguration.network(of: instance, on: context.network.network)
        )
        do {
            try await withDeadline(
                Self.identityDeadline,
                clock: context.time.clock,
                "telling the guest of instance '\(instance.name)' who it is"
            ) { try await channel.identify(identity) }
        } catch {
            await channel.close()
            try Task.checkCancellation()
            let error = AgentError.wrapping(error, "the guest was not told who it is")
            let times = (identityFailure?.times ?? 0) + 1
            identityFailure = (error, times)
            logger.warning("the guest was not told who it is", metadata: ["error": "\(error)"])
            if error.kind == .notSupported || error.kind == .invalidArgument || times >= Self.identityAttempts {
                await observe(.killing(.startFailed, "the guest could not be told who it is: \(error)"))
                await machine.kill()
            }
            throw error
        }
        identityFailure = nil
        standstill = nil
        await observe(.guestIdentified)
        logger.info("the guest was told who it is", metadata: ["former": "\(former.instance)"])
        // After a restart of the agent nobody else does.
        if instance.desired == .running, let standby = instance.standby { await outlive(standby) }
    }

    /// Waits until the guest knows who it is, if it doesn't yet.
    func awaitIdentity() async throws {
        guard instance.formerIdentity != nil else { return }
        let seen = try await wait(within: Self.identityPatience) { $0.formerIdentity == nil || $0.machine == nil }
        guard let seen else {
            throw identityFailure?.error
                ?? AgentError(
                    .timeout,
                    "the guest of instance '\(instance.name)' did not answer within \(Self.identityPatience), and could not be "
                        + "told that it is another one"
                )
        }
        guard seen.machine == nil else { return }
        throw identityFailure?.error
            ?? AgentError(
                .unavailable,
                "the VMM of instance '\(instance.name)' ended before its guest could be told that it is another one"
            )
    }
}

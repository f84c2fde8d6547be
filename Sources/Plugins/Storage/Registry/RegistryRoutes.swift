import AgentCore
import Logging
import Synchronization

/// The order in which a registry's mirrors and the registry itself are asked.
///
/// A mirror is trusted as the registry is for what a tag stands for; all else is verified by its digest, so that any of
/// them will do.
final class RegistryRoutes: Sendable {
    /// How long a mirror that did not answer is left out, so that it does not delay every layer.
    private static let rest = Duration.seconds(60)

    private let configuration: StorageConfiguration
    private let logger: Logger
    private let resting = Mutex<[RegistryEndpoint: ContinuousClock.Instant]>([:])

    init(configuration: StorageConfiguration, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
    }

    /// Does `body` with one endpoint after the other until it succeeds.
    ///
    /// - Throws: What it throws with the registry itself, which is the last one; at once what has nothing to do with
    ///   who is asked.
    func trying<T>(_ reference: ImageReference, _ body: (RegistryEndpoint) async throws -> T) async throws -> T {
        for mirror in mirrors(of: reference.registry) {
            do {
                return try await body(mirror)
            } catch {
                try Task.checkCancellation()
                let known = error as? AgentError
                switch known?.kind {
                case .cancelled, .storageFull, .internal: throw error
                case .unavailable: resting.withLock { $0[mirror] = .now + Self.rest }
                default: break
                }
                logger.info(
                    "mirror does not help",
                    metadata: ["mirror": "\(mirror.host)", "image": "\(reference)", "error": "\(error)"]
                )
            }
        }
        return try await body(RegistryEndpoint(reference.registry, insecure: configuration.insecureRegistries))
    }

    private func mirrors(of registry: String) -> [RegistryEndpoint] {
        let mirrors = configuration.registryMirrors.filter { $0.registry == registry }.map { RegistryEndpoint($0) }
        return resting.withLock { resting in mirrors.filter { resting[$0].map { $0 <= .now } ?? true } }
    }
}

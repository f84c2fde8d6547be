import AgentCore
import AsyncHTTPClient
import NIOCore
import NIOSSL
import Synchronization
import SystemPackage

/// The connections to registries: one client for each proxy, and one for those that need none.
final class RegistryConnections: Sendable {
    private struct State {
        var clients: [ProxyConfiguration.Proxy?: HTTPClient] = [:]
        var isShutDown = false
    }

    private let configuration: HTTPClient.Configuration
    private let proxies: ProxyConfiguration
    private let state = Mutex(State())

    /// - Throws: ``AgentError`` `invalidArgument` `invalid_tls` if the authorities of the configuration cannot be read.
    init(_ storage: StorageConfiguration) throws(AgentError) {
        let patience = storage.registryPatience
        var http = HTTPClient.Configuration(
            tlsConfiguration: try Self.tls(trusting: storage.registryAuthorities),
            redirectConfiguration: .disallow,
            // A transfer that stalls is noticed before, by what comes of it.
            timeout: .init(connect: TimeAmount(patience.connect), read: TimeAmount(patience.stall * 2)),
            decompression: .disabled
        )
        // Attempts are made and counted by the transport, which can tell why one failed.
        http.connectionPool.retryConnectionEstablishment = false
        configuration = http
        proxies = storage.proxies
    }

    private static func tls(trusting authorities: FilePath?) throws(AgentError) -> TLSConfiguration {
        var tls = TLSConfiguration.makeClientConfiguration()
        guard let authorities else { return tls }
        do {
            tls.additionalTrustRoots = [.certificates(try NIOSSLCertificate.fromPEMFile(authorities.string))]
        } catch {
            throw AgentError(
                .invalidArgument,
                code: "invalid_tls",
                "REGISTRY_CA_FILE is \(authorities), which cannot be read as PEM certificates",
                cause: error
            )
        }
        return tls
    }

    /// The proxy on the way to `url`, if any.
    func proxy(for url: RegistryURL) -> ProxyConfiguration.Proxy? {
        proxies.proxy(isSecure: url.isSecure, host: url.host, port: url.port)
    }

    /// The client for `url`.
    func client(for url: RegistryURL) throws(AgentError) -> HTTPClient {
        let proxy = proxy(for: url)
        let client = state.withLock { state -> HTTPClient? in
            if state.isShutDown { return nil }
            if let client = state.clients[proxy] { return client }
            var configuration = configuration
            configuration.proxy = proxy.map { proxy in
                .server(
                    host: proxy.host,
                    port: proxy.port,
                    authorization: proxy.user.map { .basic(username: $0, password: proxy.password ?? "") }
                )
            }
            let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
            state.clients[proxy] = client
            return client
        }
        guard let client else { throw AgentError(.cancelled, "the registry client is shut down") }
        return client
    }

    /// Closes all of them; nothing may be asked for afterwards.
    func shutdown() async throws {
        let clients = state.withLock { state in
            state.isShutDown = true
            defer { state.clients = [:] }
            return Array(state.clients.values)
        }
        for client in clients { try await client.shutdown() }
    }
}

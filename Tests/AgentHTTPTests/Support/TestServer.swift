import AgentAPI
import AgentCore
import AgentHTTP
import AgentTestSupport
import AsyncHTTPClient
import Foundation
import Logging
import NIOCore
import NIOFoundationCompat
import NIOHTTP1
import NIOSSL
import ServiceLifecycle
import SystemPackage

/// A real server on a socket and a loopback port of its own, over scripted services.
struct TestServer: Sendable {
    static let secret = "a secret of more than thirty-two bytes, for tests"

    let socket: FilePath
    let port: Int
    let instances: ScriptedInstances
    let images: ScriptedImages
    let volumes: ScriptedVolumes
    let events: ScriptedEvents
    let directory: FilePath
    let http: HTTPClient
    /// Of TCP.
    let scheme: String

    /// Runs `body` against a server, and stops it in an orderly way.
    ///
    /// - Parameters:
    ///   - tls: What TCP is served with; nil for plain HTTP.
    ///   - authority: Whom the client of the tests trusts.
    ///   - pushes: What is behind `/v2/`; nil is a registry in memory.
    ///   - body: What is done with it.
    /// - Throws: What `body` does.
    static func with(
        tls: HTTPConfiguration.TLS? = nil,
        trusting authority: FilePath? = nil,
        pushes: PushService? = nil,
        _ body: @escaping @Sendable (TestServer) async throws -> Void
    ) async throws {
        let directory = FilePath(NSTemporaryDirectory()).appending("hypeman-http-\(UInt64.random(in: 0...UInt64.max))")
        let archives = directory.appending("archives")
        try FileManager.default.createDirectory(atPath: archives.string, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory.string) }
        let instances = ScriptedInstances()
        let images = ScriptedImages(directory: archives)
        let volumes = ScriptedVolumes(directory: archives)
        let events = ScriptedEvents()
        let socket = directory.appending("agent.sock")
        let server = try AgentHTTPServer(
            configuration: HTTPConfiguration(socketPath: socket, port: 0, jwtSecret: secret, tls: tls),
            instances: instances,
            images: images,
            volumes: volumes,
            pushes: pushes ?? PushBackend.inMemory().pushes,
            resources: ScriptedResources(),
            events: events,
            information: AgentInformation(version: "1.2.3", hypervisors: [], providesNetwork: false),
            logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
        )
        let (addresses, announce) = AsyncStream<AgentHTTPServer.Address>.makeStream()
        let group = ServiceGroup(
            configuration: .init(
                services: [Listening(server: server, announce: announce)],
                logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
            )
        )
        var client = TLSConfiguration.makeClientConfiguration()
        if let authority { client.trustRoots = .file(authority.string) }
        var settings = HTTPClient.Configuration(tlsConfiguration: client)
        // A connection that cannot be made is what a test wants to see.
        settings.connectionPool.retryConnectionEstablishment = false
        let http = HTTPClient(eventLoopGroupProvider: .singleton, configuration: settings)
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await group.run() }
            do {
                var port: Int?
                var isOnSocket = false
                for await address in addresses {
                    switch address {
                    case .port(let number): port = number
                    case .socket: isOnSocket = true
                    }
                    if isOnSocket, port != nil { break }
                }
                try await body(
                    TestServer(
                        socket: socket,
                        port: port ?? 0,
                        instances: instances,
                        images: images,
                        volumes: volumes,
                        events: events,
                        directory: directory,
                        http: http,
                        scheme: tls == nil ? "http" : "https"
                    )
                )
                try await http.shutdown()
            } catch {
                try await http.shutdown()
                await group.triggerGracefulShutdown()
                throw error
            }
            await group.triggerGracefulShutdown()
            try await tasks.waitForAll()
        }
    }

    private struct Listening: Service {
        let server: AgentHTTPServer
        let announce: AsyncStream<AgentHTTPServer.Address>.Continuation

        func run() async throws { try await server.run { announce.yield($0) } }
    }

    /// An answer, taken whole.
    struct Answer: Sendable {
        var status: Int
        var headers: HTTPHeaders
        var body: Data

        func decode<Value: Decodable>(_ type: Value.Type = Value.self) throws -> Value {
            try APIJSON.decode(type, from: body)
        }

        /// The code of an error, which is JSON whatever happens.
        var errorCode: String {
            get throws { try decode(ErrorResponse.self).code }
        }
    }

    /// Makes a request over the socket, or over TCP with a token (nil: without one).
    func request(
        _ method: HTTPMethod,
        _ path: String,
        body: String? = nil,
        headers: [(String, String)] = [],
        token: String?? = .none
    ) async throws -> Answer {
        var base = "http+unix://\(PercentEncoding.encode(socket.string))"
        var all = headers
        if let token {
            base = "\(scheme)://127.0.0.1:\(port)"
            if let token { all.append(("Authorization", "Bearer \(token)")) }
        }
        var request = HTTPClientRequest(url: base + path)
        request.method = method
        for (name, value) in all { request.headers.add(name: name, value: value) }
        if let body {
            if !request.headers.contains(name: "Content-Type") {
                request.headers.add(name: "Content-Type", value: "application/json")
            }
            request.body = .bytes(ByteBuffer(string: body))
        }
        let response = try await http.execute(request, timeout: .seconds(120))
        let bytes = try await response.body.collect(upTo: 64 << 20)
        let status = Int(response.status.code)
        let data = Data(bytes.readableBytesView)
        try Contract.published.get().check(method: method.rawValue, path: path, status: status, body: data)
        return Answer(status: status, headers: response.headers, body: data)
    }
}

import AgentAPI
import AgentCore
import AgentHTTP
import AgentTestSupport
import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import SystemPackage
import Testing

/// A server over the real storage plugin, and a plain client of its `/v2/`.
struct RegistryServer: Sendable {
    let server: TestServer
    let backend: PushBackend
    let data: FilePath
    private let token: String

    static func with(
        limits: UploadLimits = UploadLimits(),
        permissions: [String]? = nil,
        _ body: @escaping @Sendable (RegistryServer) async throws -> Void
    ) async throws {
        let token = try await token(permissions)
        try await Scratch.with { scratch in
            let data = scratch.appending("data")
            let backend = try PushBackend.real(data, limits: limits)
            try await TestServer.with(pushes: backend.pushes) { server in
                let registry = RegistryServer(server: server, backend: backend, data: data, token: token)
                do {
                    try await body(registry)
                } catch {
                    await backend.images.shutDown()
                    throw error
                }
                await backend.images.shutDown()
            }
        }
    }

    static func token(_ permissions: [String]?) async throws -> String {
        try await TokenIssuer(secret: TestServer.secret).token(
            subject: "pusher",
            permissions: permissions,
            lifetime: .seconds(600)
        )
    }

    /// An answer, taken whole.
    struct Answer: Sendable {
        var status: Int
        var headers: HTTPHeaders
        var body: [UInt8]

        var location: String { headers.first(name: "Location") ?? "" }
        var range: String? { headers.first(name: "Range") }

        /// The code of the specification's only error.
        var code: String {
            get throws {
                struct Errors: Decodable {
                    struct Item: Decodable {
                        var code: String
                        var message: String
                    }

                    var errors: [Item]
                }
                let errors = try JSONDecoder().decode(Errors.self, from: Data(body)).errors
                #expect(errors.count == 1 && errors.first?.message.isEmpty == false)
                return errors.first?.code ?? ""
            }
        }
    }

    /// Makes a request over TCP, logged in as docker does, or as `authorization` says.
    func call(
        _ method: HTTPMethod,
        _ path: String,
        _ body: [UInt8]? = nil,
        headers: [(String, String)] = [],
        authorization: String?? = .none,
        announcesLength: Bool = true,
        overSocket: Bool = false
    ) async throws -> Answer {
        let base =
            overSocket
            ? "http+unix://\(PercentEncoding.encode(server.socket.string))" : "http://127.0.0.1:\(server.port)"
        var request = HTTPClientRequest(url: base + path)
        request.method = method
        for (name, value) in headers { request.headers.add(name: name, value: value) }
        let basic = "Basic \(Data("docker:\(token)".utf8).base64EncodedString())"
        if let authorization = authorization ?? .some(basic) {
            request.headers.add(name: "Authorization", value: authorization)
        }
        if let body {
            request.body =
                announcesLength
                ? .bytes(ByteBuffer(bytes: body))
                : .stream(
                    AsyncStream { stream in
                        stream.yield(ByteBuffer(bytes: body))
                        stream.finish()
                    },
                    length: .unknown
                )
        }
        let response = try await server.http.execute(request, timeout: .seconds(120))
        let bytes = try await response.body.collect(upTo: 64 << 20)
        #expect(response.headers.first(name: "Docker-Distribution-API-Version") == "registry/2.0", "\(method) \(path)")
        return Answer(
            status: Int(response.status.code),
            headers: response.headers,
            body: Array(bytes.readableBytesView)
        )
    }

    /// Begins an upload and returns where it goes on.
    func begin(_ name: String = "team/app") async throws -> String {
        let answer = try await call(.POST, "/v2/\(name)/blobs/uploads/")
        #expect(answer.status == 202)
        return answer.location
    }

    /// Pushes a blob in one request.
    func push(_ blob: [UInt8], to name: String = "team/app") async throws {
        let answer = try await call(.POST, "/v2/\(name)/blobs/uploads/?digest=\(PushedImage.digest(blob))", blob)
        #expect(answer.status == 201)
    }

    /// Pushes a whole image.
    func push(_ image: PushedImage, to name: String = "team/app", as reference: String = "1") async throws -> Answer {
        for blob in image.blobs { try await push(blob, to: name) }
        return try await call(
            .PUT,
            "/v2/\(name)/manifests/\(reference)",
            image.manifest,
            headers: [("Content-Type", PushedImage.manifestType)]
        )
    }

    /// An image of one file.
    static func image(_ text: String) throws -> PushedImage {
        var tar = TarBuilder()
        tar.file("text", Array(text.utf8))
        return try PushedImage(layers: [tar.finished()])
    }

    /// What is not finished on the disk.
    func incoming() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: data.appending("incoming").string)
    }
}

import AgentAPI
import AsyncHTTPClient
import Foundation
import NIOCore
import NIOFoundationCompat
import NIOHTTP1

/// Requests to the agent.
struct AgentClient: Sendable {
    /// The largest answer that is taken into memory.
    private static let largestAnswer = 64 << 20

    /// The methods that the API has.
    enum Method: String, Sendable {
        case get = "GET"
        case post = "POST"
        case patch = "PATCH"
        case delete = "DELETE"
    }

    let endpoint: Endpoint
    private let http: HTTPClient

    /// Calls `use` with a client for the agent that the environment names.
    static func with<Result: Sendable>(_ use: @Sendable (AgentClient) async throws -> Result) async throws -> Result {
        try await with(Endpoint(environment: ProcessInfo.processInfo.environment), use)
    }

    /// Calls `use` with a client for `endpoint`, and closes it.
    static func with<Result: Sendable>(
        _ endpoint: Endpoint,
        _ use: @Sendable (AgentClient) async throws -> Result
    ) async throws -> Result {
        try SocketProbe.check(endpoint)
        var configuration = HTTPClient.Configuration()
        configuration.timeout.connect = .seconds(5)
        configuration.redirectConfiguration = .disallow
        // A connection that the agent closed while it was idle is not worth the race.
        configuration.connectionPool.idleTimeout = .seconds(1)
        let http = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
        do {
            let result = try await use(AgentClient(endpoint: endpoint, http: http))
            try await http.shutdown()
            return result
        } catch {
            try await http.shutdown()
            throw error
        }
    }

    /// Makes a request and decodes its answer.
    func call<Answer: Decodable>(
        _ method: Method,
        _ path: String,
        body: (any Encodable & Sendable)? = nil,
        headers: [(String, String)] = [],
        as: Answer.Type = Answer.self
    ) async throws -> Answer {
        let data = try await data(method, path, body: body, headers: headers)
        do {
            return try APIJSON.decode(Answer.self, from: data)
        } catch {
            throw CommandError(
                "the agent's answer to \(method.rawValue) \(path) is not understood",
                remedy: "is it the same release?"
            )
        }
    }

    /// Makes a request, of whose answer only the status counts.
    func call(_ method: Method, _ path: String, body: (any Encodable & Sendable)? = nil) async throws {
        _ = try await data(method, path, body: body)
    }

    /// Makes a request and gives its answer as it is.
    func data(
        _ method: Method,
        _ path: String,
        body: (any Encodable & Sendable)? = nil,
        headers: [(String, String)] = []
    ) async throws -> Data {
        var request = request(method, path)
        request.headers.add(contentsOf: headers)
        if let body {
            request.headers.add(name: "Content-Type", value: "application/json")
            request.body = .bytes(ByteBuffer(bytes: try APIJSON.encode(body)))
        }
        return try await collect(try await execute(request))
    }

    /// Sends a body of any size, as it comes.
    func upload<Answer: Decodable, Chunks: AsyncSequence & Sendable>(
        _ path: String,
        _ chunks: Chunks,
        length: Int?,
        as: Answer.Type = Answer.self
    ) async throws -> Answer where Chunks.Element == ByteBuffer {
        var request = request(.post, path)
        request.headers.add(name: "Content-Type", value: "application/octet-stream")
        request.body = .stream(chunks, length: length.map { .known(Int64($0)) } ?? .unknown)
        return try APIJSON.decode(Answer.self, from: try await collect(try await execute(request)))
    }

    /// Gives the events of a stream to `use`, until it has enough or they end.
    ///
    /// - Parameters:
    ///   - path: What to ask for, percent-encoded.
    ///   - type: What each event is.
    ///   - use: Returns whether it wants more.
    /// - Throws: The agent's refusal, or what `use` throws.
    func events<Event: Decodable>(
        _ path: String,
        of type: Event.Type = Event.self,
        _ use: (Event) async throws -> Bool
    ) async throws {
        var request = request(.get, path)
        request.headers.add(name: "Accept", value: "text/event-stream")
        let response = try await execute(request)
        guard response.status == .ok else {
            _ = try await collect(response)
            return
        }
        var parser = EventParser()
        do {
            for try await chunk in response.body {
                for event in try parser.take(chunk.readableBytesView) {
                    guard try await use(try APIJSON.decode(Event.self, from: Data(event))) else { return }
                }
            }
        } catch let error as HTTPClientError {
            throw CommandError(
                "the connection to the agent was lost (\(error.shortDescription))",
                remedy: "is the agent still running?"
            )
        }
    }

    /// Gives an answer of any size to `use`, piece by piece.
    ///
    /// - Throws: The agent's refusal, what `use` throws, and if the answer ends too early.
    func download(_ path: String, _ use: (_ piece: [UInt8], _ total: Int?) async throws -> Void) async throws {
        let response = try await execute(request(.get, path))
        guard response.status == .ok else {
            _ = try await collect(response)
            return
        }
        let total = response.headers.first(name: "Content-Length").flatMap { Int($0) }
        var received = 0
        func lost(_ why: String) -> CommandError {
            CommandError(
                "the answer broke off after \(HumanText.bytes(received)) (\(why))",
                remedy: "see the agent's log"
            )
        }
        do {
            for try await chunk in response.body {
                received += chunk.readableBytes
                try await use(Array(chunk.readableBytesView), total)
            }
        } catch let error as HTTPClientError {
            throw lost(error.shortDescription)
        } catch let error as HTTPParserError {
            throw lost("\(error)")
        }
        if let total, received != total { throw lost("\(HumanText.bytes(total)) were announced") }
    }

    private func request(_ method: Method, _ path: String) -> HTTPClientRequest {
        var request = HTTPClientRequest(url: endpoint.url(path))
        request.method = HTTPMethod(rawValue: method.rawValue)
        request.headers.add(name: "User-Agent", value: "hypeman/\(Version.current)")
        if let token = endpoint.token { request.headers.add(name: "Authorization", value: "Bearer \(token)") }
        return request
    }

    private func execute(_ request: HTTPClientRequest) async throws -> HTTPClientResponse {
        do {
            do {
                return try await http.execute(request, deadline: .distantFuture)
            } catch  where request.method == .GET && Self.isStaleConnection(error) {
                // A kept connection that the other end closed meanwhile, or that an abandoned stream took with it;
                // asking again is harmless.
                return try await http.execute(request, deadline: .distantFuture)
            }
        } catch is CancellationError {
            throw CancellationError()
        } catch let error as CommandError {
            throw error
        } catch let error as HTTPClientError where error == .cancelled {
            throw CancellationError()
        } catch {
            throw Self.unreachable(endpoint, error)
        }
    }

    private static func isStaleConnection(_ error: any Error) -> Bool {
        if let error = error as? HTTPClientError { return error == .remoteConnectionClosed }
        if let error = error as? ChannelError { return error == .ioOnClosedChannel }
        return false
    }

    private func collect(_ response: HTTPClientResponse) async throws -> Data {
        let body = try await response.body.collect(upTo: Self.largestAnswer)
        let data = Data(body.readableBytesView)
        guard response.status.code >= 400 else { return data }
        throw Self.refusal(Int(response.status.code), data, endpoint)
    }

    /// The agent's own words where it has some.
    static func refusal(_ status: Int, _ data: Data, _ endpoint: Endpoint) -> any Error {
        let answer =
            (try? APIJSON.decode(ErrorResponse.self, from: data))
            ?? ErrorResponse(code: "http_\(status)", message: "the answer was HTTP status \(status)")
        return AgentRefusal(status: status, answer: answer)
    }

    static func unreachable(_ endpoint: Endpoint, _ error: any Error) -> CommandError {
        switch endpoint.transport {
        case .socket(let path):
            CommandError("cannot talk to the agent on \(path): \(error)", remedy: "is hypeman-agent running?")
        case .network(let host, let port, _):
            CommandError(
                "cannot talk to the agent at \(host):\(port): \(error)",
                remedy: "check HYPEMAN_BASE_URL and the network"
            )
        }
    }
}

/// An answer that says no.
struct AgentRefusal: Error {
    var status: Int
    var answer: ErrorResponse

    /// The same, in a command's words.
    func commandError(remedy: String? = nil) -> CommandError {
        let usual: String? =
            switch status {
            // That one is about the registry.
            case 401 where answer.code == "registry_unauthorized": "hypeman pull --username NAME --password-stdin IMAGE"
            case 401: "set HYPEMAN_API_KEY to a valid token (hypeman-agent gen-jwt makes one)"
            case 403 where answer.code == "registry_forbidden": nil
            case 403: "use a token with that permission, or the local socket as root"
            default: nil
            }
        return CommandError(answer.message, remedy: remedy ?? usual)
    }
}

import AgentCore
import HTTPTypes
import HummingbirdCore
import Logging

/// One request on its way to a route's handler.
struct Call: Sendable {
    /// The path's parameters, decoded, in their order.
    let parameters: [String]
    let query: Query
    let headers: HTTPFields
    let identity: Identity?
    let body: BodySource
    let logger: Logger

    /// The path's first parameter; every route that asks for it has one.
    var subject: String { parameters.first ?? "" }
}

/// A method and path, who may call it, and what answers.
struct Route: Sendable {
    enum Media: String, Sendable {
        case json = "application/json"
        case events = "text/event-stream"
        case yaml = "application/yaml"
        case tar = "application/x-tar"
    }

    enum Consumes: Sendable {
        case nothing
        /// A JSON body, perhaps optional.
        case json
        /// Bytes of any kind and number.
        case bytes
    }

    let method: HTTPRequest.Method
    /// As in the OpenAPI document: `/images/{name}`.
    let path: String
    let access: Access
    let consumes: Consumes
    let produces: Media
    let handler: @Sendable (Call) async throws -> Response

    private let pattern: [Substring]

    init(
        _ method: HTTPRequest.Method,
        _ path: String,
        _ access: Access,
        consumes: Consumes = .nothing,
        produces: Media = .json,
        handler: @escaping @Sendable (Call) async throws -> Response
    ) {
        self.method = method
        self.path = path
        self.access = access
        self.consumes = consumes
        self.produces = produces
        self.handler = handler
        self.pattern = path.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
    }

    /// The route of an operation: its method, path and access are the table's.
    init(
        _ operation: AgentOperation,
        consumes: Consumes = .nothing,
        produces: Media = .json,
        handler: @escaping @Sendable (Call) async throws -> Response
    ) {
        guard let endpoint = operation.row.http, let method = HTTPRequest.Method(rawValue: endpoint.method) else {
            preconditionFailure("\(operation) has no HTTP method and path")
        }
        self.init(
            method,
            endpoint.path,
            operation.row.access,
            consumes: consumes,
            produces: produces,
            handler: handler
        )
    }

    /// The parameters of a path that fits, nil for one that doesn't.
    func match(_ segments: [String]) -> [String]? {
        guard segments.count == pattern.count else { return nil }
        var parameters: [String] = []
        for (segment, part) in zip(segments, pattern) {
            if part.hasPrefix("{") {
                guard !segment.isEmpty else { return nil }
                parameters.append(segment)
            } else if part != segment {
                return nil
            }
        }
        return parameters
    }

    /// Whether a literal stands where another route has a parameter; such a route is preferred.
    var literals: Int { pattern.count { !$0.hasPrefix("{") } }
}

/// All routes.
///
/// Hummingbird's router splits a path after decoding it, which an image's name with its slashes does not
/// survive, and answers 404 for a method that a path does not have.
struct RouteTable: Sendable {
    let routes: [Route]

    init(_ routes: [Route]) {
        self.routes = routes.sorted { $0.literals > $1.literals }
    }

    /// The route of a request; GET answers HEAD too.
    func find(_ method: HTTPRequest.Method, _ segments: [String]) throws(TransportError) -> (Route, [String]) {
        var allowed: [HTTPRequest.Method] = []
        let wanted = method == .head ? .get : method
        for route in routes {
            guard let parameters = route.match(segments) else { continue }
            if route.method == wanted { return (route, parameters) }
            allowed.append(route.method)
            if route.method == .get { allowed.append(.head) }
        }
        guard !allowed.isEmpty else { throw .pathNotFound }
        throw .methodNotAllowed(Array(Set(allowed)))
    }
}

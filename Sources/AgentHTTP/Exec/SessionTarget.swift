import AgentCore
import NIOHTTP1

/// What a WebSocket is for.
struct SessionTarget: Sendable, Hashable {
    enum Purpose: Sendable, Hashable {
        /// A command of its own.
        case exec
        /// The instance's program.
        case attach(includesLog: Bool)
        /// The instance's serial console, after so many lines of its log; nil is all of it.
        case console(tail: Int?)
        /// Files, either way.
        case copy
    }

    var reference: String
    var purpose: Purpose

    /// What the handshake's answer must say about the subprotocols that a client offers.
    func responseHeaders(offered: [String]) -> HTTPHeaders {
        purpose == .copy
            ? CopyService.Framing(offered: offered).responseHeaders : ExecFraming(offered: offered).responseHeaders
    }

    /// Nil if a route is for no WebSocket, or the query is not understood.
    init?(_ route: Route, _ parameters: [String], _ query: Query) {
        guard let reference = parameters.first else { return nil }
        self.reference = reference
        switch route.path {
        case ExecRoute.path:
            purpose = .exec
        case CopyRoutes.path:
            purpose = .copy
        case AttachRoute.path:
            guard let includesLog = try? AttachRoute.includesLog(query) else { return nil }
            purpose = .attach(includesLog: includesLog)
        case ConsoleRoute.path:
            do {
                purpose = .console(tail: try ConsoleRoute.tail(query))
            } catch {
                return nil
            }
        default:
            return nil
        }
    }
}

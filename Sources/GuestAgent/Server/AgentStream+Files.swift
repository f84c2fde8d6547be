import GuestProtocol
import GuestTransport
import NIOCore
import TarTree

extension AgentStream {
    /// Begins what a request for files asks for.
    func beginFiles(_ route: GuestRoute, _ frame: GuestFrame) {
        guard frame.kind == .request, let context else { return respond(400, message: "the first frame is no request") }
        do {
            switch route {
            case .pathStatus:
                try tellStatus(try GuestJSON.decode(GuestPathRequest.self, from: frame.payload), on: context.eventLoop)
            case .readFiles:
                let request = try GuestJSON.decode(GuestReadRequest.self, from: frame.payload)
                try beginCopy { end in try FileReading(request, self, on: context.eventLoop, onEnd: end) }
            default:
                let request = try GuestJSON.decode(GuestWriteRequest.self, from: frame.payload)
                try beginCopy { end in try FileWriting(request, self, on: context.eventLoop, onEnd: end) }
            }
        } catch let failure as TreeFailure {
            respond(500, message: failure.message)
        } catch {
            respond(400, message: "the request cannot be read: \(error)")
        }
    }

    private func beginCopy(_ begin: (@escaping () -> Void) throws -> any FileCopy) throws {
        let copies = agent.copies
        guard copies.enter() else { return respond(429, message: "too many copies at a time; try again later") }
        do {
            copy = try begin { copies.leave() }
        } catch {
            copies.leave()
            throw error
        }
        respondHeaders(200)
    }

    /// On a thread that may block, as a path may lead to a file system that does.
    private func tellStatus(_ request: GuestPathRequest, on eventLoop: any EventLoop) throws {
        let copies = agent.copies
        guard copies.enter() else { return respond(429, message: "too many copies at a time; try again later") }
        let this = NIOLoopBound(self, eventLoop: eventLoop)
        let place = NIOLoopBound(copies, eventLoop: eventLoop)
        do {
            try TreeThread.start {
                let result = GuestFilesResult(Result { GuestFilesResult(status: try GuestPathStatus(of: request)) })
                eventLoop.execute {
                    place.value.leave()
                    this.value.respondHeaders(200)
                    this.value.finish(with: result)
                }
            }
        } catch {
            copies.leave()
            throw error
        }
    }

    /// Ends the response with how it went.
    func finish(with result: GuestFilesResult) {
        if let payload = try? GuestJSON.encode(result) { send(.filesResult, payload) }
        finish()
    }
}

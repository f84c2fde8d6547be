import AgentCore
import GuestProtocol
import GuestTransport
import NIOCore

/// A conversation with hypeman-init over one connection.
final class GuestSession: GuestChannel {
    let hello: GuestHello
    private let requests: GuestRequests

    init(requests: GuestRequests, hello: GuestHello) {
        self.requests = requests
        self.hello = hello
    }

    func events(after sequence: Int) -> AsyncThrowingStream<GuestEvent, any Error> {
        let frames = GuestFrames { [requests] in
            try await requests.start(.events(after: UInt64(clamping: sequence)))
        }
        return AsyncThrowingStream {
            while let frame = try await frames.next() {
                guard frame.kind == .event else { continue }
                do {
                    return try GuestJSON.decode(GuestEvent.self, from: frame.payload)
                } catch is DecodingError {
                    // An event of a kind that this version does not know.
                    continue
                } catch {
                    throw AgentError(.unavailable, "the guest does not keep to the protocol", cause: error)
                }
            }
            throw AgentError(.unavailable, "the guest ended its report of events")
        }
    }

    func output(from position: UInt64) -> AsyncThrowingStream<GuestOutput, any Error> {
        let frames = GuestFrames { [requests] in try await requests.start(.output(from: position)) }
        let expected = OutputOrder(next: position)
        return AsyncThrowingStream {
            while let frame = try await frames.next() {
                guard frame.kind == .output else { continue }
                do {
                    let output = try GuestOutput(framePayload: frame.payload)
                    try await expected.check(output)
                    return output
                } catch {
                    throw AgentError(.unavailable, "the guest does not keep to the protocol", cause: error)
                }
            }
            return nil
        }
    }

    func acknowledgeOutput(upTo position: UInt64) async throws {
        _ = try await requests.call(.acknowledgeOutput(upTo: position))
    }

    func wakeUp(_ news: GuestWakeUp) async throws {
        guard hello.features.contains(GuestFeature.wakeUp) else {
            throw AgentError(.notSupported, "the guest's hypeman-init \(hello.initVersion) cannot be told the time")
        }
        let payload = try GuestJSON.encode(news)
        _ = try await requests.call(.wakeUp, body: ByteBuffer(frame: .request, payload: payload))
    }

    func mount(_ volume: GuestVolume) async throws { try await change(.mount, volume) }

    func unmount(_ volume: GuestVolume) async throws { try await change(.unmount, volume) }

    private func change(_ route: GuestRoute, _ volume: GuestVolume) async throws {
        guard hello.features.contains(GuestFeature.volumes) else {
            throw AgentError(
                .notSupported,
                code: "guest_too_old",
                "the guest's hypeman-init \(hello.initVersion) cannot mount volumes while it runs; stop and start the instance"
            )
        }
        let payload = try GuestJSON.encode(volume)
        _ = try await requests.call(route, body: ByteBuffer(frame: .request, payload: payload))
    }

    func identify(_ identity: GuestIdentity) async throws {
        guard hello.features.contains(GuestFeature.identity) else {
            throw AgentError(.notSupported, "the guest's hypeman-init \(hello.initVersion) cannot become another guest")
        }
        let payload = try GuestJSON.encode(identity)
        _ = try await requests.call(.identity, body: ByteBuffer(frame: .request, payload: payload))
    }

    func acknowledgeExit() async throws {
        _ = try await requests.call(.acknowledgeExit)
    }

    func signalProgram(_ signal: Int?) async throws {
        if let signal, !(1...64).contains(signal) { throw AgentError(.invalidArgument, "no such signal: \(signal)") }
        _ = try await requests.call(.signal(signal.map { UInt64($0) }))
    }

    func exec(_ request: ExecRequest) async throws -> any GuestProcess {
        let payload: [UInt8]
        do {
            payload = try GuestJSON.encode(request)
        } catch {
            throw AgentError(.invalidArgument, "the command cannot be written down", cause: error)
        }
        guard payload.count <= GuestFrame.maximumPayload else {
            throw AgentError(
                .invalidArgument,
                "the command is too long: \(payload.count) bytes, \(GuestFrame.maximumPayload) are allowed"
            )
        }
        let stream = try await requests.start(.exec, body: ByteBuffer(frame: .request, payload: payload))
        return GuestCommand(stream: stream)
    }

    func attach() async throws -> any GuestInput {
        let stream = try await requests.start(.attach, body: ByteBuffer())
        return GuestProgramInput(stream: stream)
    }

    func status(of request: GuestPathRequest) async throws -> GuestPathStatus {
        let stream = try await startFiles(.pathStatus, request)
        stream.finish()
        let result = try await GuestFilesAnswer(stream).result()
        guard let status = result.status else {
            throw AgentError(.unavailable, "the guest did not say what is at the path")
        }
        return status
    }

    func readFiles(_ request: GuestReadRequest) async throws -> AsyncThrowingStream<GuestArchiveEvent, any Error> {
        let stream = try await startFiles(.readFiles, request)
        stream.finish()
        let answer = GuestFilesAnswer(stream)
        return AsyncThrowingStream { try await answer.nextEvent() }
    }

    func writeFiles(_ request: GuestWriteRequest) async throws -> any GuestArchiveInput {
        GuestArchiveWriting(stream: try await startFiles(.writeFiles, request))
    }

    private func startFiles(_ route: GuestRoute, _ request: some Encodable) async throws -> GuestStream {
        guard hello.features.contains(GuestFeature.files) else {
            throw AgentError(
                .notSupported,
                code: "guest_too_old",
                "the guest's hypeman-init \(hello.initVersion) cannot copy files; stop and start the instance"
            )
        }
        let payload = try GuestJSON.encode(request)
        return try await requests.start(route, body: ByteBuffer(frame: .request, payload: payload))
    }

    func close() async {
        // A connection that is closed already says so by an error that means nothing here.
        _ = try? await requests.channel.close().get()
    }
}

/// Holds a guest to its promise that no output comes twice or out of order.
private actor OutputOrder {
    private var next: UInt64

    init(next: UInt64) {
        self.next = next
    }

    func check(_ output: GuestOutput) throws {
        guard output.offset >= next else {
            throw GuestFrameError(reason: "output at \(output.offset) after \(next)")
        }
        next = output.offset + UInt64(output.bytes.count)
    }
}

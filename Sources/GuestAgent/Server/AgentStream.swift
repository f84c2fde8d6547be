import CInit
import GuestProtocol
import GuestTransport
import NIOCore
import NIOHPACK
import NIOHTTP2
import NIOPosix

/// One request of the host's and its response.
final class AgentStream: ChannelInboundHandler {
    typealias InboundIn = HTTP2Frame.FramePayload
    typealias OutboundOut = HTTP2Frame.FramePayload

    /// Bytes that may wait to be sent before more is asked for.
    private static let outboundLimit = 256 << 10

    let agent: GuestAgent
    private(set) var context: ChannelHandlerContext?
    private var command: ExecSession?
    private var input: ProgramInput?
    /// Files on their way, if that is what was asked for.
    var copy: (any FileCopy)?
    private var outputReader: OutputReader?
    /// What becomes of the request's only frame, where it has one.
    private var takeFrame: ((AgentStream, GuestFrame) -> Void)?
    private var decoder = GuestFrameDecoder()
    private var inboundPaused = false
    private var unsent = 0
    private var ended = false

    init(agent: GuestAgent) {
        self.agent = agent
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { context.read() }
    }

    func channelActive(context: ChannelHandlerContext) {
        context.read()
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.context = nil
        ended = true
        agent.events.stop(self)
        if let outputReader { agent.output.unsubscribe(outputReader) }
        outputReader = nil
        command?.kill()
        command = nil
        input?.detach(self)
        input = nil
        copy?.cancel()
        copy = nil
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .headers(let headers): begin(headers.headers, isComplete: headers.endStream)
        case .data(let data):
            guard case .byteBuffer(let bytes) = data.data else { return }
            receive(bytes, isLast: data.endStream)
        default: break
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        readMore()
    }

    /// Goes on reading the request unless ``pauseInput()`` was called.
    private func readMore() {
        if !inboundPaused, !ended { context?.read() }
    }

    /// No more of the request is read until ``resumeInput()``; HTTP/2's window then makes the host wait.
    func pauseInput() { inboundPaused = true }

    func resumeInput() {
        guard inboundPaused else { return }
        inboundPaused = false
        readMore()
    }

    /// Whether a sender of much data may go on.
    var hasRoom: Bool { unsent < AgentStream.outboundLimit }

    /// Sends a frame of the response's body; whoever waited for room is told when it is gone.
    func send(_ kind: GuestFrame.Kind, _ payload: [UInt8]) {
        guard let context, !ended else { return }
        let buffer = ByteBuffer(frame: kind, payload: payload)
        let count = buffer.readableBytes
        unsent += count
        let sent = context.eventLoop.makePromise(of: Void.self)
        sent.futureResult.assumeIsolated().whenComplete { [self] _ in
            let hadRoom = hasRoom
            unsent -= count
            guard hasRoom, !hadRoom, !ended else { return }
            command?.resumeOutput()
            copy?.resumeOutput()
            if outputReader != nil { agent.output.pump() }
        }
        context.writeAndFlush(wrapOutboundOut(.data(.init(data: .byteBuffer(buffer)))), promise: sent)
    }

    /// Ends the response.
    func finish() {
        guard let context, !ended else { return }
        ended = true
        command = nil
        input = nil
        copy = nil
        context.writeAndFlush(
            wrapOutboundOut(.data(.init(data: .byteBuffer(ByteBuffer()), endStream: true))),
            promise: nil
        )
        // Take what the host still sends: it stops when it sees the end.
        context.channel.setOption(.autoRead, value: true).whenSuccess {}
        context.read()
    }

    private func begin(_ headers: HPACKHeaders, isComplete: Bool) {
        let method = headers.first(name: ":method") ?? ""
        let path = headers.first(name: ":path") ?? ""
        guard let route = GuestRoute(method: method, path: path) else {
            return respond(404, message: "no such request: \(method) \(path)")
        }
        switch route {
        case .hello:
            respond(200, json: hello())
        case .events(let sequence):
            respondHeaders(200)
            agent.events.listen(self, after: sequence) { [unowned self] event in
                if let payload = try? GuestJSON.encode(event) { send(.event, payload) }
            }
        case .output(let position):
            respondHeaders(200)
            let reader = OutputReader(stream: self, position: position)
            outputReader = reader
            agent.output.subscribe(reader)
        case .acknowledgeOutput(let position):
            agent.output.acknowledge(upTo: position)
            respond(204)
        case .acknowledgeExit:
            respond(204)
            agent.acknowledgeExit()
        case .signal(let number):
            guard number.map({ (1...UInt64(SignalName.maximum)).contains($0) }) ?? true else {
                return respond(400, message: "no such signal: \(number ?? 0)")
            }
            guard agent.signalProgram(number) else { return respond(409, message: "the program does not run") }
            respond(204)
        case .wakeUp:
            guard agent.awakening != nil else { return respond(404, message: "this guest's clock is not its own") }
            if isComplete { return respond(400, message: "no news in the request") }
            takeFrame = { $0.wakeUp($1) }
        case .mount, .unmount:
            guard let volumes = agent.volumes else {
                return respond(404, message: "this guest has no volumes of its own")
            }
            if isComplete { return respond(400, message: "no volume in the request") }
            guard agent.acceptsCommands else { return respond(409, message: "the guest is still starting") }
            takeFrame = { $0.change(route == .mount ? volumes.mount : volumes.unmount, $1) }
        case .identity:
            guard agent.renaming != nil else { return respond(404, message: "this guest cannot become another") }
            if isComplete { return respond(400, message: "no identity in the request") }
            takeFrame = { $0.becomeAnother($1) }
        case .exec:
            if isComplete { return respond(400, message: "no command in the request") }
            guard agent.acceptsCommands else { return respond(409, message: "the guest is still starting") }
            command = ExecSession(agent: agent, stream: self)
        case .attach:
            guard let input = agent.input else {
                return respond(409, message: "the program does not run, or has neither a terminal nor an open stdin")
            }
            respondHeaders(200)
            self.input = input
            input.attach(self)
        case .pathStatus, .readFiles, .writeFiles:
            if isComplete { return respond(400, message: "no path in the request") }
            guard agent.acceptsCommands else { return respond(409, message: "the guest is still starting") }
            takeFrame = { $0.beginFiles(route, $1) }
        }
    }

    private func receive(_ bytes: ByteBuffer, isLast: Bool) {
        guard command != nil || input != nil || copy != nil || takeFrame != nil else { return }
        decoder.append(bytes.readableBytesView)
        do {
            while let frame = try decoder.next() {
                if let take = takeFrame {
                    takeFrame = nil
                    take(self, frame)
                    continue
                }
                try command?.receive(frame)
                input?.receive(frame)
                copy?.receive(frame)
            }
            if isLast { endOfRequest() }
        } catch let error as ExecRefusal where command?.hasStarted == false {
            self.command = nil
            respond(400, message: error.message)
        } catch {
            context?.close(promise: nil)
        }
    }

    /// For a command that is the end of its stdin; whoever is attached to the program only lets go of it.
    private func endOfRequest() {
        command?.endInput()
        copy?.endInput()
        guard let input else { return }
        input.detach(self)
        finish()
    }

    private func wakeUp(_ frame: GuestFrame) {
        guard frame.kind == .request, let news = try? GuestJSON.decode(GuestWakeUp.self, from: frame.payload) else {
            return respond(400, message: "that is no news")
        }
        conclude(agent.awakening?.apply(news))
    }

    private func becomeAnother(_ frame: GuestFrame) {
        guard frame.kind == .request, let identity = try? GuestJSON.decode(GuestIdentity.self, from: frame.payload)
        else { return respond(400, message: "that is no identity") }
        conclude(agent.take(identity))
    }

    private func conclude(_ failure: Awakening.Failure?) {
        guard let failure else { return respond(204) }
        respond(failure.isRefusal ? 400 : 500, message: failure.message)
    }

    /// Mounts or unmounts on a thread that may block: a disk takes its time to appear, and its journal to be replayed.
    private func change(_ perform: @escaping VolumeMounting.Change, _ frame: GuestFrame) {
        guard let context, frame.kind == .request,
            let volume = try? GuestJSON.decode(GuestVolume.self, from: frame.payload)
        else { return respond(400, message: "that is no volume") }
        let changed = VolumeMounting.thread.runIfActive(eventLoop: context.eventLoop) { perform(volume) }
        changed.assumeIsolated().whenComplete { [self] result in
            switch result {
            case .success(nil): respond(204)
            case .success(let reason?): respond(409, message: reason)
            case .failure(let error): respond(500, message: "\(error)")
            }
        }
    }

    private func hello() -> GuestHello {
        GuestHello(
            protocolVersion: GuestProtocolVersion.current,
            initVersion: GuestAgent.version,
            features: [GuestFeature.attach, GuestFeature.files, GuestFeature.imageFiles]
                + (agent.awakening == nil ? [] : [GuestFeature.wakeUp])
                + (agent.volumes == nil ? [] : [GuestFeature.volumes])
                + (agent.renaming == nil ? [] : [GuestFeature.identity]),
            bootID: SmallFile.line("/proc/sys/kernel/random/boot_id") ?? ""
        )
    }

    func respondHeaders(_ status: Int, isComplete: Bool = false) {
        guard let context, !ended else { return }
        let headers = HPACKHeaders([(":status", String(status))])
        context.writeAndFlush(wrapOutboundOut(.headers(.init(headers: headers, endStream: isComplete))), promise: nil)
        if isComplete { ended = true }
    }

    private func respond(_ status: Int) {
        respondHeaders(status, isComplete: true)
    }

    func respond(_ status: Int, message: String) {
        respond(status, json: ["message": message])
    }

    private func respond(_ status: Int, json value: some Encodable) {
        respondHeaders(status)
        guard let context, let bytes = try? GuestJSON.encode(value) else { return finish() }
        context.write(wrapOutboundOut(.data(.init(data: .byteBuffer(ByteBuffer(bytes: bytes))))), promise: nil)
        finish()
    }
}

/// A stream that reads the program's output.
private final class OutputReader: OutputSubscriber {
    private unowned let stream: AgentStream
    private(set) var position: UInt64

    init(stream: AgentStream, position: UInt64) {
        self.stream = stream
        self.position = position
    }

    var hasRoom: Bool { stream.hasRoom }

    func send(_ output: GuestOutput) {
        position = output.offset + UInt64(output.bytes.count)
        stream.send(.output, output.framePayload)
    }

    func end() {
        stream.finish()
    }
}

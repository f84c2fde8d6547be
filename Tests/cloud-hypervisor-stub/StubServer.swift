import CloudHypervisorStub
import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix

/// The stub's sockets and files, all on one event loop.
final class StubServer: @unchecked Sendable {  // Touched on the event loop only, once it runs.
    private let plan: Plan
    private let specification: Specification
    private let log: FileHandle
    private let events: FileHandle?
    private let loop: any EventLoop
    private var machine: StubMachine?
    private var consoles: [any Channel] = []
    /// What was said before anybody was connected.
    private var unheard = ""
    private var connections = 0
    private var faults: [Plan.Fault]

    init(plan: Plan, eventFile: String?, on loop: any EventLoop) throws {
        self.plan = plan
        self.loop = loop
        faults = plan.faults
        specification = try Specification(path: plan.specification ?? Specification.path)
        let descriptor = open(plan.log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        log = FileHandle(fileDescriptor: descriptor)
        // As Cloud Hypervisor opens it: from the start, and not to append.
        events = eventFile.map { FileHandle(fileDescriptor: open($0, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)) }
        machine = StubMachine(
            plan,
            StubMachine.Host(
                listen: { [unowned self] in try self.listen($0, isConsole: $1) },
                writeConsole: { [unowned self] in self.writeConsole($0) },
                report: { [unowned self] in self.report($0, $1, $2) },
                exit: { exit($0) },
                after: { milliseconds, body in
                    loop.assumeIsolated().scheduleTask(in: .milliseconds(Int64(milliseconds))) { body() }
                }
            )
        )
    }

    func serve(_ path: String) throws {
        report("vmm", "starting", nil)
        unlink(path)
        _ = try ServerBootstrap(group: loop)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    self.connections += 1
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline()
                    try channel.pipeline.syncOperations.addHandler(StubHandler(self, self.connections))
                }
            }
            .bind(unixDomainSocketPath: path).wait()
        report("vmm", "started", nil)
    }

    /// Signals stand for what guests do.
    func reset() { loop.execute { self.machine?.reset() } }
    func panic() { loop.execute { self.machine?.panic() } }

    /// - Returns: The answer, and the fault that it suffers.
    func handle(_ connection: Int, _ head: HTTPRequestHead, _ body: Data) throws -> (StubAnswer, Plan.Fault.Kind?) {
        let problems = specification.problems(
            method: head.method.rawValue,
            uri: head.uri,
            contentType: head.headers.first(name: "Content-Type"),
            body: body
        )
        let action = head.uri.split(separator: "/").last.map(String.init) ?? ""
        let request = LoggedRequest(
            connection: connection,
            method: head.method.rawValue,
            action: action,
            body: String(decoding: body, as: UTF8.self),
            problems: problems
        )
        log.write(try JSONEncoder().encode(request) + Data("\n".utf8))
        if !problems.isEmpty {
            return (StubAnswer(status: 400, body: try JSONEncoder().encode(problems)), nil)
        }
        if let index = faults.firstIndex(where: { $0.action == action && $0.times > 0 }) {
            faults[index].times -= 1
            if case .exit(let code) = faults[index].kind {
                FileHandle.standardError.write(Data("cloud-hypervisor: fatal, as planned\n".utf8))
                exit(code)
            }
            return (StubAnswer(status: 204, body: Data()), faults[index].kind)
        }
        let answer = try machine?.handle(action, body.isEmpty ? .null : try JSON(body))
        guard let answer else { return (StubAnswer(status: 500, body: Data()), nil) }
        if answer.status == 200 {
            let wrong = specification.problems(answerTo: head.method.rawValue, head.uri, body: answer.body)
            guard wrong.isEmpty else { fatalError("the stub itself answers wrong: \(wrong)") }
        }
        return (answer, nil)
    }

    private func report(_ source: String, _ event: String, _ properties: [String: String]?) {
        let object: JSON = .object([
            "timestamp": .object(["secs": .integer(0), "nanos": .integer(Int(getpid()))]),
            "source": .string(source), "event": .string(event),
            "properties": properties.map { .object($0.mapValues(JSON.string)) } ?? .null,
        ])
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted]
        guard let data = try? encoder.encode(object) else { return }
        events?.write(data + Data("\n\n".utf8))
    }

    private func writeConsole(_ text: String) {
        guard !consoles.isEmpty else { return unheard += text }
        for channel in consoles { channel.writeAndFlush(ByteBuffer(string: text), promise: nil) }
    }

    private func listen(_ path: String, isConsole: Bool) throws {
        unlink(path)
        let bootstrap = ServerBootstrap(group: loop)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    guard isConsole else { return }
                    self.consoles = [channel]
                    let text = self.unheard
                    self.unheard = ""
                    if !text.isEmpty {
                        channel.eventLoop.execute { channel.writeAndFlush(ByteBuffer(string: text), promise: nil) }
                    }
                }
            }
        // Not waited for, since this is its own loop; the socket is there when the answer is written.
        _ = bootstrap.bind(unixDomainSocketPath: path)
    }
}

/// Takes one request after the other.
private final class StubHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let server: StubServer
    private let connection: Int
    private var head: HTTPRequestHead?
    private var body = Data()

    init(_ server: StubServer, _ connection: Int) {
        self.server = server
        self.connection = connection
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): (self.head, body) = (head, Data())
        case .body(let part): body += Data(part.readableBytesView)
        case .end:
            guard let head else { return }
            do {
                let (answer, fault) = try server.handle(connection, head, body)
                // A moment later, so that sockets that were asked for are there.
                context.eventLoop.assumeIsolated().scheduleTask(in: .milliseconds(1)) {
                    self.answer(context, answer, fault)
                }
            } catch {
                fatalError("\(head.uri): \(error)")
            }
        }
    }

    private func answer(_ context: ChannelHandlerContext, _ answer: StubAnswer, _ fault: Plan.Fault.Kind?) {
        switch fault {
        case nil: write(context, answer.status, answer.body)
        case .answer(let status, let body): write(context, status, Data(body.utf8))
        case .silence, .exit: break
        case .cut:
            context.writeAndFlush(wrapOutboundOut(.head(ok(length: 100))), promise: nil)
            context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: "[\"Er")))), promise: nil)
            context.close(promise: nil)
        case .flood:
            context.write(wrapOutboundOut(.head(ok(length: 64 << 20))), promise: nil)
            let chunk = ByteBuffer(repeating: UInt8(ascii: " "), count: 1 << 20)
            for _ in 0..<64 { context.write(wrapOutboundOut(.body(.byteBuffer(chunk))), promise: nil) }
            context.flush()
        }
    }

    private func ok(length: Int) -> HTTPResponseHead {
        HTTPResponseHead(version: .http1_1, status: .ok, headers: ["Content-Length": "\(length)"])
    }

    private func write(_ context: ChannelHandlerContext, _ status: Int, _ body: Data) {
        var head = HTTPResponseHead(version: .http1_1, status: .init(statusCode: status))
        head.headers.add(name: "Server", value: "Cloud Hypervisor API")
        if status != 204 { head.headers.add(name: "Content-Length", value: "\(body.count)") }
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        if !body.isEmpty { context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: body)))), promise: nil) }
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    }
}

import AgentCore
import AgentTestSupport
import Foundation
import NIOCore
import NIOPosix
import Synchronization
import SystemPackage
import Testing

@testable import HypervisorPlugin

/// What happens when QEMU does not behave: a peer that says what it is told to.
struct QMPClientTests {
    private static let greeting =
        #"{"QMP":{"version":{"qemu":{"micro":22,"minor":2,"major":7},"package":"x"},"capabilities":["oob"]}}"# + "\n"
    private static let instance = InstanceID.random()

    /// Runs `body` against a peer that sends `first` on connect and answers each line by `answer`; nil closes.
    private func withPeer(
        first: String = greeting,
        answer: @escaping @Sendable (ScriptedPeer.Command) -> String?,
        _ body: (FilePath) async throws -> Void
    ) async throws {
        try await Scratch.with { scratch in
            let socket = scratch.path.appending("qmp.sock")
            let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .childChannelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        let sync = channel.pipeline.syncOperations
                        try sync.addHandler(ByteToMessageHandler(QMPLineDecoder()))
                        try sync.addHandler(ScriptedPeer(first: first, answer: answer))
                    }
                }
                .bind(unixDomainSocketPath: socket.string).get()
            let result: Result<Void, any Error>
            do { result = .success(try await body(socket)) } catch { result = .failure(error) }
            try await server.close()
            try result.get()
        }
    }

    private func connect(
        _ socket: FilePath,
        deadline: Duration = .seconds(10),
        onEvent: @escaping @Sendable (QMPEvent) -> Void = { _ in }
    ) async throws -> QMPClient {
        try await QMPClient.connect(
            to: socket,
            instance: Self.instance,
            on: MultiThreadedEventLoopGroup.singleton,
            deadline: deadline,
            onEvent: onEvent
        )
    }

    @Test func aGreetingAndAnAnswerMakeAClient() async throws {
        try await withPeer(answer: { $0.success() }) { socket in
            let client = try await connect(socket)
            #expect(client.version == "7.2.22")
            try await client.execute("stop")
            client.close()
        }
    }

    @Test func answersAreMatchedByIdAndNotByOrder() async throws {
        let held = Mutex<ScriptedPeer.Command?>(nil)
        try await withPeer(answer: { command in
            guard command.name.hasPrefix("wait") else { return command.success() }
            let other = held.withLock { held in
                defer { held = command }
                return held
            }
            guard let other else { return "" }
            return command.success(#"{"status":"\#(command.name)"}"#) + other.success(#"{"status":"\#(other.name)"}"#)
        }) { socket in
            let client = try await connect(socket)
            async let one = client.execute("wait-1", QMPNothing?.none, returning: QEMUStatus.self)
            async let two = client.execute("wait-2", QMPNothing?.none, returning: QEMUStatus.self)
            #expect(try await one.status == "wait-1")
            #expect(try await two.status == "wait-2")
            client.close()
        }
    }

    @Test func aRefusalCarriesQEMUsWords() async throws {
        try await withPeer(answer: { command in
            guard command.name == "stop" else { return command.success() }
            return #"{"id":\#(command.id),"error":{"class":"GenericError","desc":"not now"}}"# + "\n"
        }) { socket in
            let client = try await connect(socket)
            let error = await #expect(throws: AgentError.self) { try await client.execute("stop") }
            #expect(error?.kind == .invalidState)
            #expect(error?.description.contains("not now") == true)
            try await client.execute("cont")
            client.close()
        }
    }

    @Test func aPeerThatSaysNothingMeetsTheDeadline() async throws {
        try await withPeer(first: "", answer: { _ in "" }) { socket in
            let error = await #expect(throws: AgentError.self) {
                try await connect(socket, deadline: .milliseconds(50))
            }
            #expect(error?.kind == .timeout)
        }
    }

    @Test func aCommandWithoutAnAnswerMeetsItsDeadlineAndTheNextIsServed() async throws {
        try await withPeer(answer: { $0.name == "stop" ? "" : $0.success() }) { socket in
            let client = try await connect(socket)
            let error = await #expect(throws: AgentError.self) {
                try await client.execute("stop", deadline: .milliseconds(50))
            }
            #expect(error?.kind == .timeout)
            try await client.execute("cont")
            client.close()
        }
    }

    @Test func aCancelledCommandThrowsAtOnce() async throws {
        try await withPeer(answer: { $0.name == "stop" ? "" : $0.success() }) { socket in
            let client = try await connect(socket)
            let command = Task { try await client.execute("stop", deadline: .seconds(600)) }
            command.cancel()
            await #expect(throws: CancellationError.self) { try await command.value }
            client.close()
        }
    }

    @Test func aClosedSocketFailsEverythingThatIsPending() async throws {
        try await withPeer(answer: { command in
            switch command.name {
            case "stop": ""
            case "cont": nil
            default: command.success()
            }
        }) { socket in
            let client = try await connect(socket)
            let pending = Task { try await client.execute("stop", deadline: .seconds(600)) }
            let closing = Task { try await client.execute("cont", deadline: .seconds(600)) }
            for result in [await pending.result, await closing.result] {
                let error = #expect(throws: AgentError.self) { try result.get() }
                #expect(error?.kind == .unavailable)
            }
            let late = await #expect(throws: AgentError.self) { try await client.execute("cont") }
            #expect(late?.kind == .unavailable)
        }
    }

    @Test(arguments: [
        "no json\n", "[]\n", "{}\n", "{\"return\":1}\n", "\u{0}\n", "{\"QMP\":{}}\n",
        String(repeating: "[", count: 100_000) + "\n", String(repeating: "x", count: (1 << 20) + 1),
        "{\"error\":{\"class\":\"GenericError\",\"desc\":\"what?\"}}\n",
    ])
    func garbageEndsTheConnection(_ garbage: String) async throws {
        try await withPeer(answer: { $0.name == "stop" ? garbage : $0.success() }) { socket in
            let client = try await connect(socket)
            let error = await #expect(throws: AgentError.self) { try await client.execute("stop") }
            #expect(error?.kind == .unavailable)
        }
        try await withPeer(first: garbage, answer: { $0.success() }) { socket in
            let error = await #expect(throws: AgentError.self) { try await connect(socket) }
            #expect(error?.kind == .unavailable)
        }
    }

    @Test func answersToNobodyAreIgnored() async throws {
        try await withPeer(answer: { #"{"return":{},"id":999999}"# + "\n" + $0.success() }) { socket in
            let client = try await connect(socket)
            try await client.execute("stop")
            client.close()
        }
    }

    @Test func anAnswerOfAnotherShapeIsAnErrorOfThatCommandOnly() async throws {
        try await withPeer(answer: { $0.success("[1,2]") }) { socket in
            let client = try await connect(socket)
            let error = await #expect(throws: AgentError.self) {
                try await client.execute("query-status", QMPNothing?.none, returning: QEMUStatus.self)
            }
            #expect(error?.kind == .unavailable)
            try await client.execute("stop")
            client.close()
        }
    }

    @Test func eventsComeInOrderAlsoBetweenAnswers() async throws {
        let events = Mutex<[String]>([])
        try await withPeer(answer: { command in
            #"{"event":"ONE","data":{"guest":"no boolean"},"timestamp":{"seconds":1,"microseconds":2}}"# + "\n"
                + command.success() + #"{"event":"TWO"}"# + "\n"
        }) { socket in
            let client = try await connect(socket, onEvent: { event in events.withLock { $0.append(event.name) } })
            try await client.execute("stop")
            #expect(events.withLock { $0.starts(with: ["ONE", "TWO", "ONE"]) })
            client.close()
        }
    }

    @Test func randomBytesNeverCrashTheReader() {
        var generator = SystemRandomNumberGenerator()
        let seed = UInt64.random(in: 0 ... .max, using: &generator)
        var random = SeededGenerator(seed: seed)
        print("seed \(seed)")
        let valid = Array((Self.greeting + #"{"return":{"a":[1,2]},"id":3}"#).utf8)
        for _ in 0..<2000 {
            var bytes = valid
            for _ in 0..<Int.random(in: 1...8, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            for line in bytes.split(separator: 10) { _ = try? QMPMessage(line: Data(line)) }
        }
    }
}

/// A QMP server that answers by a script.
private final class ScriptedPeer: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    struct Command: Sendable {
        var name: String
        var id: UInt64

        func success(_ value: String = "{}") -> String { #"{"return":\#(value),"id":\#(id)}"# + "\n" }
    }

    private let first: String
    private let answer: @Sendable (Command) -> String?

    init(first: String, answer: @escaping @Sendable (Command) -> String?) {
        self.first = first
        self.answer = answer
    }

    func channelActive(context: ChannelHandlerContext) { send(first, context) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        struct Line: Decodable {
            var execute: String
            var id: UInt64
        }
        guard let line = try? JSONDecoder().decode(Line.self, from: Data(unwrapInboundIn(data).readableBytesView)),
            let text = answer(Command(name: line.execute, id: line.id))
        else {
            context.close(promise: nil)
            return
        }
        send(text, context)
    }

    private func send(_ text: String, _ context: ChannelHandlerContext) {
        context.writeAndFlush(wrapOutboundOut(context.channel.allocator.buffer(string: text)), promise: nil)
    }
}

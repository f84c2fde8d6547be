import AgentTestSupport
import DBus
import Foundation
import Glibc
import SystemPackage
import Testing

/// Random values and random bytes.
@Suite(.serialized) struct FuzzTests {
    private static let interface = "org.example.Echo"

    @Test func whatIsSentIsWhatArrives() async throws {
        try await withLamp { _, service, client async throws in
            await service.export(
                [
                    Interface(
                        Self.interface,
                        [.method("Echo", ["in"], returns: ["out"]) { (_: Call, value: Variant) in value }]
                    )
                ],
                at: path("/echo")
            )
            var generator = SeededGenerator(seed: 20_261_130)
            for round in 0..<2000 {
                let value = Self.value(&generator, depth: 0)
                let reply = try await client.call(
                    "Echo",
                    of: Self.interface,
                    at: path("/echo"),
                    Lamp.name,
                    [.variant(value)]
                )
                #expect(reply == [.variant(value)], "round \(round)")
            }
        }
    }

    /// A bus that lets us in and then says anything: the connection ends, and nothing else.
    @Test func aBusThatSendsGarbageIsLeft() async throws {
        try await Scratch.with { scratch async throws in
            var generator = SeededGenerator(seed: 1)
            let hello: [UInt8] = [
                0x6C, 2, 1, 1, 9, 0, 0, 0, 1, 0, 0, 0, 0x0F, 0, 0, 0, 5, 1, 0x75, 0, 1, 0, 0, 0, 8, 1, 0x67, 0, 1, 0x73,
                0, 0,
                4, 0, 0, 0, 0x3A, 0x31, 0x2E, 0x31, 0,
            ]
            for round in 0..<60 {
                var bytes = hello
                for _ in 0..<Int.random(in: 1...8, using: &generator) {
                    bytes[Int.random(in: 0..<bytes.count, using: &generator)] = .random(in: 0...255, using: &generator)
                }
                bytes += (0..<Int.random(in: 0...200, using: &generator)).map { _ in
                    .random(in: 0...255, using: &generator)
                }
                let file = scratch.appending("bus-\(round)").string
                let server = try HostileBus(at: file, says: bytes)
                let address = try #require(BusAddress("unix:path=\(file)"))
                let connection = Connection(address: address, logger: silent)
                let opening = Task { try await connection.open() }
                await server.serve()
                _ = await opening.result
                await connection.close()
            }
        }
    }

    private static func value(_ generator: inout SeededGenerator, depth: Int) -> Value {
        let kind = Int.random(in: 0..<(depth < 4 ? 18 : 13), using: &generator)
        switch kind {
        case 0: return .byte(.random(in: 0...255, using: &generator))
        case 1: return .boolean(.random(using: &generator))
        case 2: return .int16(.random(in: .min ... .max, using: &generator))
        case 3: return .uint16(.random(in: .min ... .max, using: &generator))
        case 4: return .int32(.random(in: .min ... .max, using: &generator))
        case 5: return .uint32(.random(in: .min ... .max, using: &generator))
        case 6: return .int64(.random(in: .min ... .max, using: &generator))
        case 7: return .uint64(.random(in: .min ... .max, using: &generator))
        case 8: return .double(.random(in: -1e9...1e9, using: &generator))
        case 9, 10: return .string(text(&generator))
        case 11: return .objectPath(path("/x").appending(escaped: text(&generator)))
        case 12: return .signature(["", "s", "a{sv}", "(iu)", "aaay"].randomElement(using: &generator) ?? "")
        case 13:
            return .bytes(
                (0..<Int.random(in: 0...50, using: &generator)).map { _ in .random(in: 0...255, using: &generator) }
            )
        case 14:
            let first = value(&generator, depth: depth + 1)
            guard first.signature != "y" else { return .bytes([1]) }
            return .array(
                element: first.signature,
                [Value](repeating: first, count: Int.random(in: 0...5, using: &generator))
            )
        case 15:
            return .structure(
                (0..<Int.random(in: 1...4, using: &generator)).map { _ in value(&generator, depth: depth + 1) }
            )
        case 16:
            let entries = (0..<Int.random(in: 0...5, using: &generator)).map { _ in
                Value.Entry(.string(text(&generator)), .variant(value(&generator, depth: depth + 1)))
            }
            return .dictionary(key: "s", value: "v", entries)
        default: return .variant(value(&generator, depth: depth + 1))
        }
    }

    private static func text(_ generator: inout SeededGenerator) -> String {
        let letters: [Character] = ["a", "Z", "0", "_", "/", "ä", "€", "🙂", " ", "\n", "'", "\u{FFFD}", "\u{7F}"]
        return String(
            (0..<Int.random(in: 0...20, using: &generator)).compactMap { _ in letters.randomElement(using: &generator) }
        )
    }
}

/// Accepts one connection, completes the authentication, and answers the first message with bytes of a test's choice.
private final class HostileBus: Sendable {
    private let listener: UnixListener
    private let bytes: [UInt8]
    private let queue = DispatchQueue(label: "test.hostile-bus")

    init(at path: String, says bytes: [UInt8]) throws {
        self.bytes = bytes
        listener = try UnixListener(at: path)
    }

    func serve() async {
        await withCheckedContinuation { continuation in
            queue.async { [self] in
                let peer = accept(listener.descriptor, nil, nil)
                var received: [UInt8] = []
                func receive(until isThere: ([UInt8]) -> Bool) {
                    var buffer = [UInt8](repeating: 0, count: 4096)
                    while !isThere(received) {
                        let count = read(peer, &buffer, buffer.count)
                        guard count > 0 else { return }
                        received += buffer.prefix(count)
                    }
                }
                func say(_ text: [UInt8]) { _ = write(peer, text, text.count) }
                receive { String(decoding: $0, as: UTF8.self).contains("AUTH EXTERNAL") && $0.last == 10 }
                say(Array("OK 1234567890abcdef1234567890abcdef\r\n".utf8))
                receive { String(decoding: $0, as: UTF8.self).contains("NEGOTIATE_UNIX_FD\r\n") }
                say(Array("AGREE_UNIX_FD\r\n".utf8))
                receive { String(decoding: $0, as: UTF8.self).contains("BEGIN\r\n") }
                say(bytes)
                close(peer)
                continuation.resume()
            }
        }
    }
}

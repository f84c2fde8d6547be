import AgentTestSupport
import DBus
import Glibc
import Synchronization
import Testing

/// What others can make a service hold.
@Suite(.serialized) struct LimitTests {
    private static let interface = "org.example.Limits"

    private static func export(
        _ service: Connection,
        _ gate: AsyncStream<Never>,
        _ began: AsyncStream<Void>.Continuation
    ) async {
        await service.export(
            [
                Interface(
                    interface,
                    [
                        .method("Wait") { (_: Call) in
                            began.yield()
                            for await _ in gate {}
                        },
                        .method("Take", ["anything"], returns: ["size"]) { (_: Call, value: Variant) in
                            if case .bytes(let bytes) = value.value { return UInt64(bytes.count) }
                            return 0
                        },
                    ]
                )
            ],
            at: path("/limits")
        )
    }

    @Test func callsInFlightAreBoundedForEachSender() async throws {
        var limits = ConnectionLimits()
        limits.callsPerSender = 3
        try await withLamp(limits: limits) { bus, service, client async throws in
            let (gate, open) = AsyncStream.makeStream(of: Never.self)
            let (begins, began) = AsyncStream.makeStream(of: Void.self)
            await Self.export(service, gate, began)
            try await withThrowingTaskGroup(of: Void.self) { group async throws in
                for _ in 0..<3 {
                    group.addTask {
                        _ = try await client.call("Wait", of: Self.interface, at: path("/limits"), Lamp.name)
                    }
                }
                var iterator = begins.makeAsyncIterator()
                for _ in 0..<3 { await iterator.next() }
                let error = await #expect(throws: DBusError.self) { try await client.lamp("Switch", [.boolean(true)]) }
                #expect(error?.is(.limitsExceeded) == true)
                try await withConnection(bus) { other async throws in
                    #expect(try await other.lamp("Switch", [.boolean(true)]) == [.boolean(false)])
                }
                open.finish()
                try await group.waitForAll()
            }
            #expect(try await client.lamp("Switch", [.boolean(false)]) == [.boolean(true)])
        }
    }

    @Test func whatIsTooMuchIsNotEvenRead() async throws {
        try await withLamp { _, service, client async throws in
            let (gate, open) = AsyncStream.makeStream(of: Never.self)
            let (_, began) = AsyncStream.makeStream(of: Void.self)
            defer { open.finish() }
            await Self.export(service, gate, began)
            func take(_ value: Value) async throws -> [Value] {
                try await client.call("Take", of: Self.interface, at: path("/limits"), Lamp.name, [.variant(value)])
            }
            #expect(try await take(.bytes([UInt8](repeating: 1, count: 3 << 20))) == [.uint64(3 << 20)])
            for value: Value in [
                .bytes([UInt8](repeating: 1, count: 5 << 20)), .string(String(repeating: "x", count: 5 << 20)),
                .array(element: "u", [Value](repeating: .uint32(1), count: 1 << 16)),
            ] {
                let error = await #expect(throws: DBusError.self) { try await take(value) }
                #expect(error?.is(.limitsExceeded) == true)
            }
            let wrong = [Value.bytes([UInt8](repeating: 1, count: 5 << 20))]
            let error = await #expect(throws: DBusError.self) { try await client.lamp("Switch", wrong) }
            #expect(error?.is(.invalidArguments) == true)
        }
    }

    @Test func callersThatWantNoAnswerOrVanishGetNone() async throws {
        try await withLamp { bus, service, client async throws in
            let (gate, open) = AsyncStream.makeStream(of: Never.self)
            let (begins, began) = AsyncStream.makeStream(of: Void.self)
            await Self.export(service, gate, began)
            var iterator = begins.makeAsyncIterator()
            try await bus.busctl(
                "call",
                "--expect-reply=no",
                Lamp.name,
                "/limits",
                Self.interface,
                "Wait"
            )
            await iterator.next()
            try await withConnection(bus) { other async throws in
                let call = Task { try await other.call("Wait", of: Self.interface, at: path("/limits"), Lamp.name) }
                await iterator.next()
                call.cancel()
                await #expect(throws: CancellationError.self) { try await call.value }
            }
            open.finish()
            #expect(try await client.lamp("Switch", [.boolean(true)]) == [.boolean(false)])
        }
    }

    @Test func aBusThatTakesNothingIsGivenUp() async throws {
        var limits = ConnectionLimits()
        limits.outgoingBytes = 1 << 20
        try await withLamp(limits: limits) { bus, service, _ async throws in
            bus.signal(SIGSTOP)
            defer { bus.signal(SIGCONT) }
            let text = String(repeating: "x", count: 100_000)
            var sent = 0
            while await service.uniqueName != nil, sent < 1000 {
                await service.emit("Flickered", of: Lamp.interface, at: Lamp.root, [.uint32(1), .string(text)])
                sent += 1
            }
            // The kernel's socket buffer holds some more.
            #expect(sent < 40)
            #expect(await service.uniqueName == nil)
        }
    }

    @Test func aSlowTakerOfSignalsSeesTheEndOfThem() async throws {
        var limits = ConnectionLimits()
        limits.signals = 10
        try await PrivateBus.with { bus async throws in
            try await withConnection(bus) { service async throws in
                try await service.own(Lamp.name)
                try await withConnection(bus, limits: limits) { client async throws in
                    let signals = try await client.signals(MatchRule(sender: Lamp.name, member: "Flickered"))
                    for _ in 0..<20 { await service.emit("Flickered", of: Lamp.interface, at: Lamp.root, []) }
                    // The bus keeps the order of what one connection sends, and so what follows them is answered after them.
                    _ = try await client.property(
                        "Features",
                        of: "org.freedesktop.DBus",
                        at: path("/org/freedesktop/DBus"),
                        "org.freedesktop.DBus"
                    )
                    await service.export([Lamp().declaration()], at: Lamp.root.appending(escaped: "desk"))
                    _ = try await client.lamp("Switch", [.boolean(true)])
                    var count = 0
                    let error = await #expect(throws: DBusError.self) { for try await _ in signals { count += 1 } }
                    #expect(error?.is(.limitsExceeded) == true)
                    #expect(count == 10)
                }
            }
        }
    }
}

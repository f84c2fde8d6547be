import AgentTestSupport
import DBus
import Glibc
import Synchronization
import Testing

/// Connections that come and go.
@Suite(.serialized) struct LifeTests {
    @Test func everythingIsThereAgainAfterTheBusCameBack() async throws {
        try await PrivateBus.with { bus async throws in
            let service = try makeConnection(bus)
            await service.export([Lamp().declaration()], at: Lamp.root.appending(escaped: "desk"))
            try await service.own(Lamp.name)
            let signals = try await service.signals(MatchRule(sender: "org.example.Other", member: "Ping"))
            let (opens, opened) = AsyncStream.makeStream(of: Void.self)
            let running = Task {
                await service.run(retryAfter: .milliseconds(5) ... .milliseconds(50)) { opened.yield() }
            }
            var iterator = opens.makeAsyncIterator()
            var pings = signals.makeAsyncIterator()
            for _ in 0..<3 {
                await iterator.next()
                try await withConnection(bus) { client async throws in
                    try await client.own("org.example.Other")
                    _ = try await client.lamp("Switch", [.boolean(true)])
                    await client.emit("Ping", of: "org.example.Other", at: path("/"), [])
                    #expect(try await pings.next()?.member == "Ping")
                }
                await bus.stop()
                try await bus.start()
            }
            running.cancel()
            await running.value
            await #expect(throws: DBusError.self) { try await service.open() }
        }
    }

    @Test func callsEndWithTheBus() async throws {
        try await withLamp { bus, service, client async throws in
            let (begins, began) = AsyncStream.makeStream(of: Void.self)
            let (gate, open) = AsyncStream.makeStream(of: Never.self)
            defer { open.finish() }
            await service.export(
                [
                    Interface(
                        "org.example.Slow",
                        [
                            .method("Wait") { (_: Call) in
                                began.yield()
                                for await _ in gate {}
                            }
                        ]
                    )
                ],
                at: path("/slow")
            )
            let call = Task { try await client.call("Wait", of: "org.example.Slow", at: path("/slow"), Lamp.name) }
            for await _ in begins { break }
            await bus.stop()
            let error = await #expect(throws: DBusError.self) { try await call.value }
            #expect(error?.is(.disconnected) == true)
            await client.waitUntilLost()
            await #expect(throws: DBusError.self) { try await client.lamp("Switch", [.boolean(true)]) }
        }
    }

    @Test func aPeerThatDoesNotAnswerIsNotWaitedForWithoutEnd() async throws {
        try await withLamp { bus, _, client async throws in
            bus.signal(SIGSTOP)
            let error = await #expect(throws: DBusError.self) {
                try await client.lamp("Switch", [.boolean(true)], timeout: .milliseconds(50))
            }
            #expect(error?.is(.noReply) == true)
            bus.signal(SIGCONT)
            // The late answer is nobody's. Which of the two calls the lamp takes first is not said.
            _ = try await client.lamp("Switch", [.boolean(true)])
            #expect(try await client.lamp("Switch", [.boolean(false)]) == [.boolean(true)])
        }
    }

    @Test func aNameHasOneOwner() async throws {
        try await withLamp { bus, service, client async throws in
            let error = await #expect(throws: DBusError.self) { try await client.own(Lamp.name) }
            #expect(error?.message.contains(Lamp.name) == true)
            await service.close()
            // The bus learns of it when it reads the socket's end next.
            let deadline = ContinuousClock.now + Patience.of(.seconds(10))
            while true {
                do {
                    try await client.own(Lamp.name)
                    break
                } catch  where ContinuousClock.now < deadline {
                    try await Task.sleep(for: .milliseconds(5))
                }
            }
            _ = try await bus.busctl("status", Lamp.name)
        }
    }

    @Test func nobodyIsConnectedWhereThereIsNoBus() async throws {
        let address = try #require(BusAddress("unix:path=/nonexistent/bus"))
        let connection = Connection(address: address, logger: silent)
        await #expect(throws: DBusError.self) { try await connection.open() }
        await connection.close()
    }

    @Test func callersAreKnownUntilTheyVanish() async throws {
        try await withLamp { bus, service, client async throws in
            let name = try #require(await client.uniqueName)
            let found = try await service.credentials(of: name)
            #expect(found == Credentials(user: geteuid(), process: UInt32(getpid())))
            let calls = Mutex<[Call]>([])
            await service.export(
                [
                    Interface(
                        "org.example.Me",
                        [.method("Greet") { (call: Call) in calls.withLock { $0.append(call) } }]
                    )
                ],
                at: path("/me")
            )
            try await client.call("Greet", of: "org.example.Me", at: path("/me"), Lamp.name, allowsInteraction: true)
            let call = try #require(calls.withLock { $0.last })
            #expect(call.sender == name && call.credentials == found && call.allowsInteraction)
            let (gone, leaves) = AsyncStream.makeStream(of: String.self)
            let forgotten = await service.whenGone(call) { leaves.yield("forgotten") }
            await service.forget(forgotten)
            _ = await service.whenGone(call) { leaves.yield("gone") }
            await client.close()
            for await first in gone {
                #expect(first == "gone")
                break
            }
            _ = await service.whenGone(call) { leaves.yield("was gone") }
            for await second in gone {
                #expect(second == "was gone")
                break
            }
            await #expect(throws: DBusError.self) { try await service.credentials(of: name) }
            _ = bus
        }
    }

    @Test func signalsOfAnImpostorAreIgnored() async throws {
        try await withLamp { bus, service, client async throws in
            let signals = try await client.signals(MatchRule(sender: Lamp.name, member: "Flickered"))
            try await withConnection(bus) { impostor async throws in
                await impostor.emit("Flickered", of: Lamp.interface, at: path("/false"), [], to: client.uniqueName)
                // Answered after it.
                _ = try await impostor.lamp("Switch", [.boolean(true)])
            }
            await service.emit("Flickered", of: Lamp.interface, at: path("/true"), [])
            for try await signal in signals {
                #expect(signal.path == path("/true"))
                break
            }
        }
    }
}

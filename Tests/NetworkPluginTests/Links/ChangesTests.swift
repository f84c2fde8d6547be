import AgentCore
import Foundation
import Testing

@testable import NetworkPlugin

@Suite struct ChangesTests {
    @Test func aChangeIsToldAndManyAreOne() async throws {
        try await LinkFixture.with { fixture in
            let changes = try await fixture.links.changes()
            var iterator = changes.makeAsyncIterator()
            for address in ["192.0.2.1/24", "192.0.2.2/24"] {
                try await fixture.namespace.run("ip", "addr", "add", address, "dev", "hbr0")
                // Would wait for ever.
                #expect(await iterator.next() != nil)
            }
            // More than the socket's buffer holds, with nobody reading: an overrun is a change as well.
            try await fixture.links.route { socket in
                for number in 0..<300 {
                    try socket.send([LinkMessages.create("many\(number)", kind: "bridge")])
                }
            }
            #expect(await iterator.next() != nil)
        }
    }

    @Test func aListenerThatStopsEndsIt() async throws {
        try await LinkFixture.with { fixture in
            let changes = try await fixture.links.changes()
            let listener = Task { for await _ in changes {} }
            listener.cancel()
            await listener.value
        }
    }
}

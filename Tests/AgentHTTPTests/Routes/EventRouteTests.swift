import AgentAPI
import AgentTestSupport
import Foundation
import NIOHTTP1
import Synchronization
import Testing

@testable import AgentHTTP

/// Events over HTTP.
@Suite struct EventRouteTests {
    @Test func eventsComeWithTheirNumbers() async throws {
        try await TestServer.with { server async throws in
            let answer = try await server.request(.GET, "/events?after=7")
            #expect(answer.status == 200)
            let lines = String(decoding: answer.body, as: UTF8.self).split(separator: "\n").map { $0.dropFirst(6) }
            let events = try lines.map { try APIJSON.decode(EventResponse.self, from: Data($0.utf8)) }
            #expect(events.map(\.sequence) == [8, 9, 10])
            #expect(events.map(\.kind) == ["instance.created", "image.status", "snapshot.created"])
            #expect(events.first?.attributes == ["a": "b"] && events.first?.time == Fixtures.time)
            _ = try await server.request(.GET, "/events")
            #expect(server.events.positions.withLock { $0 } == [7, nil])
        }
    }

    @Test(arguments: ["-1", "now", "99999999999999999999"]) func aPositionIsANumber(_ text: String) async throws {
        try await TestServer.with { server async throws in
            let answer = try await server.request(.GET, "/events?after=\(text)")
            #expect(answer.status == 400)
            #expect(try answer.errorCode == "invalid_after")
        }
    }
}

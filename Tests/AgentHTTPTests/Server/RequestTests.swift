import AgentAPI
import AgentCore
import Foundation
import NIOHTTP1
import SystemPackage
import Testing

@testable import AgentHTTP

/// Requests over a real socket.
@Suite struct RequestTests {
    @Test func healthNeedsNoToken() async throws {
        try await TestServer.with { server async throws in
            let answer = try await server.request(.GET, "/health", token: .some(nil))
            #expect(answer.status == 200)
            #expect(String(decoding: answer.body, as: UTF8.self) == #"{"status":"ok"}"#)
            #expect(try await server.request(.GET, "/ready", token: .some(nil)).status == 200)
        }
    }

    @Test func socketNeedsNoToken() async throws {
        try await TestServer.with { server async throws in
            #expect(try await server.request(.GET, "/instances").status == 200)
        }
    }

    @Test func socketIsForItsOwnerAlone() async throws {
        try await TestServer.with { server async throws in
            let attributes = try FileManager.default.attributesOfItem(atPath: server.socket.string)
            #expect((attributes[.posixPermissions] as? Int).map { $0 & 0o777 } == 0o600)
        }
    }

    @Test func unknownPathIs404WithJSON() async throws {
        try await TestServer.with { server async throws in
            let answer = try await server.request(.GET, "/nothing/here")
            #expect(answer.status == 404)
            #expect(try answer.errorCode == "path_not_found")
        }
    }

    @Test func wrongMethodIs405AndNamesTheRightOnes() async throws {
        try await TestServer.with { server async throws in
            let answer = try await server.request(.PUT, "/instances")
            #expect(answer.status == 405)
            #expect(answer.headers.first(name: "Allow") == "GET, HEAD, POST")
            #expect(try answer.errorCode == "method_not_allowed")
        }
    }

    @Test func whatTheOriginalHasAndThisHasNotIs501() async throws {
        try await TestServer.with { server async throws in
            for path in ["/ingresses", "/devices", "/instances/x/auto-standby/status", "/builds/1/events"] {
                let answer = try await server.request(.GET, path)
                #expect(answer.status == 501, "\(path)")
                #expect(try answer.errorCode == "not_implemented")
            }
        }
    }

    @Test func formIs415AndImpossibleAcceptIs406() async throws {
        try await TestServer.with { server async throws in
            let form = try await server.request(
                .POST,
                "/images",
                body: "name=x",
                headers: [("Content-Type", "application/x-www-form-urlencoded")]
            )
            #expect(form.status == 415)
            let image = try await server.request(.GET, "/images", headers: [("Accept", "image/png")])
            #expect(image.status == 406)
            let any = try await server.request(.GET, "/images", headers: [("Accept", "text/html, */*;q=0.1")])
            #expect(any.status == 200)
        }
    }

    @Test func largeJSONIs413() async throws {
        try await TestServer.with { server async throws in
            let answer = try await server.request(
                .POST,
                "/images",
                body: #"{"name":"\#(String(repeating: "a", count: 2 << 20))"}"#
            )
            #expect(answer.status == 413)
            #expect(try answer.errorCode == "body_too_large")
        }
    }

    @Test func garbageIsAnsweredWithAJSONError() async throws {
        try await TestServer.with { server async throws in
            let port = server.port
            let answer = try await onThread {
                let connection = try RawConnection(port: port)
                connection.send((0..<(1 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 131 &+ $0 >> 8) })
                return connection.receiveAll()
            }
            #expect(answer.hasPrefix("HTTP/1.1 400"))
            #expect(answer.contains(#""code":"bad_request""#))
            #expect(try await server.request(.GET, "/health").status == 200)
        }
    }

    @Test func endlessHeadIsRefused() async throws {
        try await TestServer.with { server async throws in
            let port = server.port
            let answer = try await onThread {
                let connection = try RawConnection(port: port)
                connection.send(
                    Array("GET /health HTTP/1.1\r\nHost: x\r\nX-Long: ".utf8) + [UInt8](repeating: 65, count: 1 << 20)
                )
                return connection.receiveAll()
            }
            #expect(answer.hasPrefix("HTTP/1.1 4"), "\(answer.prefix(100))")
            #expect(answer.contains(#""code":"#))
        }
    }

    @Test func entityTagSavesTheSecondAnswer() async throws {
        try await TestServer.with { server async throws in
            server.instances.add("one")
            let first = try await server.request(.GET, "/instances")
            let tag = try #require(first.headers.first(name: "ETag"))
            #expect(try await server.request(.GET, "/instances", headers: [("If-None-Match", tag)]).status == 304)
            server.instances.add("two")
            #expect(try await server.request(.GET, "/instances", headers: [("If-None-Match", tag)]).status == 200)
        }
    }

    @Test func requestIDComesBack() async throws {
        try await TestServer.with { server async throws in
            let given = try await server.request(.GET, "/health", headers: [("X-Request-ID", "abc-123")])
            #expect(given.headers.first(name: "X-Request-ID") == "abc-123")
            let hostile = try await server.request(.GET, "/health", headers: [("X-Request-ID", "a b\"")])
            #expect(hostile.headers.first(name: "X-Request-ID") != "a b\"")
        }
    }

    @Test func messageWithQuotesIsStillJSON() async throws {
        try await TestServer.with { server async throws in
            let answer = try await server.request(.GET, "/instances/%22%5C%0A")
            #expect(answer.status == 404)
            #expect(try answer.decode(ErrorResponse.self).message.contains("\"\\\n"))
        }
    }

    @Test func secondAgentIsRefusedAndStaleSocketIsNot() async throws {
        try await TestServer.with { server async throws in
            #expect(throws: AgentError.self) { try SocketFile(path: server.socket, group: nil).check() }
            let stale = server.directory.appending("stale.sock")
            try SocketFile(path: stale, group: nil).check()
            #expect(FileManager.default.createFile(atPath: stale.string, contents: nil))
            try SocketFile(path: stale, group: nil).check()
        }
    }
}

/// Runs what blocks on a thread of its own.
func onThread<Value: Sendable>(_ work: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
        Thread { continuation.resume(with: Result { try work() }) }.start()
    }
}

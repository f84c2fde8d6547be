import AgentAPI
import AgentCore
import Foundation
import NIOHTTP1
import Synchronization
import Testing

@testable import AgentHTTP

/// Images over HTTP.
@Suite struct ImageRouteTests {
    @Test func pullAnswers202WithTheNormalisedName() async throws {
        try await TestServer.with { server async throws in
            let answer = try await server.request(.POST, "/images", body: #"{"name":"alpine"}"#)
            #expect(answer.status == 202)
            #expect(try answer.decode(ImageResponse.self).name == "docker.io/library/alpine:latest")
        }
    }

    @Test func credentialsOfTheHeaderReachThePull() async throws {
        try await TestServer.with { server async throws in
            var hub = RegistryLogin(username: "me", password: "pass~?>wörd")
            hub.serverAddress = "https://index.docker.io/v1/"
            let plain = Data(#"{"auth":"bWU6Yzpk"}"#.utf8).base64EncodedString()
            let token = Data(#"{"identitytoken":"abc","username":"x"}"#.utf8).base64EncodedString()
            for header in [try hub.headerValue(), plain, token, "e30", ""] {
                let answer = try await server.request(
                    .POST,
                    "/images",
                    body: #"{"name":"alpine"}"#,
                    headers: [(RegistryLogin.header, header), ("Content-Type", "application/json")]
                )
                #expect(answer.status == 202)
            }
            #expect(
                server.images.script.withLock { $0.credentials } == [
                    .password(user: "me", password: "pass~?>wörd"), .password(user: "me", password: "c:d"),
                    .identityToken("abc"), nil, nil,
                ]
            )
        }
    }

    @Test(arguments: [
        "!", "eyJ4", #"{"username":"me"}"#, "bnVsbA", #"{"username":"a:b","password":"geheim"}"#, #"{"auth":"geheim"}"#,
        #"{"username":"me","password":"geheim","serveraddress":"ghcr.io"}"#, #"{"registrytoken":"ge\r\nheim"}"#,
    ])
    func credentialsThatCannotBeUsedAre400AndNotRepeated(_ text: String) async throws {
        try await TestServer.with { server async throws in
            // The third one is not encoded.
            let isEncoded = !text.hasPrefix("{") || text == #"{"username":"me"}"#
            let header = isEncoded ? text : Data(text.utf8).base64EncodedString()
            let answer = try await server.request(
                .POST,
                "/images",
                body: #"{"name":"alpine"}"#,
                headers: [(RegistryLogin.header, header), ("Content-Type", "application/json")]
            )
            #expect(answer.status == 400)
            #expect(try answer.errorCode == "invalid_registry_auth")
            #expect(!String(decoding: answer.body, as: UTF8.self).contains("heim"))
            #expect(server.images.script.withLock { $0.pulled.isEmpty })
        }
    }

    @Test func nameWithSlashesIsOneSegment() async throws {
        try await TestServer.with { server async throws in
            _ = try await server.request(.POST, "/images", body: #"{"name":"localhost:5000/a/b:1"}"#)
            let path = "/images/" + PercentEncoding.encode("localhost:5000/a/b:1")
            #expect(try await server.request(.GET, path).status == 200)
            #expect(try await server.request(.DELETE, path).status == 204)
            #expect(try await server.request(.GET, path).status == 404)
        }
    }

    @Test func badNameIs400() async throws {
        try await TestServer.with { server async throws in
            let answer = try await server.request(.POST, "/images", body: #"{"name":"UPPER CASE"}"#)
            #expect(answer.status == 400)
            #expect(try answer.errorCode == "invalid_name")
        }
    }

    @Test func archiveArrivesWhole() async throws {
        try await TestServer.with { server async throws in
            let body = String(repeating: "0123456789abcdef", count: 1 << 16)
            let answer = try await server.request(
                .POST,
                "/images/import?name=mine%3A1",
                body: body,
                headers: [("Content-Type", "application/octet-stream")]
            )
            #expect(answer.status == 202)
            #expect(server.images.script.withLock { $0.imported.map(\.contents) } == [1 << 20])
            #expect(server.images.script.withLock { $0.imported.first?.name } == "docker.io/library/mine:1")
            #expect(server.images.leftovers.isEmpty)
        }
    }

    @Test(arguments: ["Content-Length: 1000000", "Transfer-Encoding: chunked"])
    func brokenUploadLeavesNothing(framing: String) async throws {
        let token = try await TokenIssuer(secret: TestServer.secret).token(subject: "x", lifetime: .seconds(60))
        try await TestServer.with { server async throws in
            let port = server.port
            let answer = try await onThread {
                let connection = try RawConnection(port: port)
                let head =
                    "POST /images/import?name=x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \(token)\r\n\(framing)\r\n\r\n"
                connection.send(Array(head.utf8) + Array("5\r\nhello\r\n".utf8))
                connection.finishSending()
                return connection.receiveAll()
            }
            #expect(answer.isEmpty || answer.hasPrefix("HTTP/1.1 400"), "\(answer.prefix(200))")
            #expect(server.images.leftovers.isEmpty)
            #expect(server.images.script.withLock { $0.imported.isEmpty })
        }
    }

    @Test func progressEndsWithReady() async throws {
        try await TestServer.with { server async throws in
            _ = try await server.request(.POST, "/images", body: #"{"name":"alpine"}"#)
            server.images.script.withLock {
                $0.progress = [
                    ImageProgress(status: .pulling, completed: 5, total: 10),
                    ImageProgress(status: .ready, completed: 10, total: 10),
                ]
            }
            let answer = try await server.request(.GET, "/images/alpine/progress")
            #expect(answer.headers.first(name: "Content-Type") == "text/event-stream")
            #expect(
                String(decoding: answer.body, as: UTF8.self) == """
                    data: {"completed":5,"status":"pulling","total":10}

                    data: {"completed":10,"status":"ready","total":10}


                    """
            )
        }
    }
}

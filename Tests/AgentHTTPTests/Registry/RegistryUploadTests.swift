import AgentCore
import AgentTestSupport
import Foundation
import NIOHTTP1
import Testing

/// Blobs on their way to the agent.
@Suite(.serialized) struct RegistryUploadTests {
    private static let blob = (0..<1_000_000).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 8) }
    private static let digest = PushedImage.digest(blob)

    private func check(_ registry: RegistryServer, _ name: String = "team/app") async throws {
        let answer = try await registry.call(.GET, "/v2/\(name)/blobs/\(Self.digest)")
        #expect(answer.status == 200 && answer.body == Self.blob)
        #expect(answer.headers.first(name: "Docker-Content-Digest") == "\(Self.digest)")
        #expect(try registry.incoming() == [])
    }

    @Test func aBlobComesWithItsPost() async throws {
        try await RegistryServer.with { registry async throws in
            let path = "/v2/team/app/blobs/uploads/?digest=\(Self.digest)"
            let answer = try await registry.call(.POST, path, Self.blob)
            #expect(answer.status == 201)
            #expect(answer.location == "/v2/team/app/blobs/\(Self.digest)")
            try await check(registry)
        }
    }

    @Test(arguments: [true, false]) func aBlobComesWithItsPut(announcesLength: Bool) async throws {
        try await RegistryServer.with { registry async throws in
            let path = try await registry.begin() + "?digest=\(Self.digest)"
            let answer = try await registry.call(.PUT, path, Self.blob, announcesLength: announcesLength)
            #expect(answer.status == 201)
            #expect(answer.headers.first(name: "Docker-Content-Digest") == "\(Self.digest)")
            try await check(registry)
        }
    }

    @Test func aBlobComesAsAStreamAsDockerSendsIt() async throws {
        try await RegistryServer.with { registry async throws in
            let path = try await registry.begin()
            let answer = try await registry.call(.PATCH, path, Self.blob, announcesLength: false)
            #expect(answer.status == 202 && answer.range == "0-999999")
            #expect(try await registry.call(.PUT, answer.location + "?digest=\(Self.digest)").status == 201)
            try await check(registry)
        }
    }

    @Test func chunksFollowOneAnotherAndGapsAreRefused() async throws {
        try await RegistryServer.with { registry async throws in
            let path = try await registry.begin()
            func send(_ range: Range<Int>, as text: String? = nil) async throws -> RegistryServer.Answer {
                try await registry.call(
                    .PATCH,
                    path,
                    Array(Self.blob[range]),
                    headers: [("Content-Range", text ?? "\(range.lowerBound)-\(range.upperBound - 1)")]
                )
            }
            let fresh = try await registry.call(.GET, path)
            #expect(fresh.status == 204 && fresh.range == "0-0" && fresh.location == path)
            #expect(try await send(0..<1000).range == "0-999")
            for wrong in [2000..<3000, 0..<1000, 999..<2000] {
                let answer = try await send(wrong)
                #expect(answer.status == 416 && answer.range == "0-999" && answer.location == path)
                #expect(try answer.code == "BLOB_UPLOAD_INVALID")
            }
            for wrong in ["1000-1998", "1000-2000", "1000-2000000"] {
                let answer = try await send(1000..<2000, as: wrong)
                #expect(answer.status == 400)
                #expect(try answer.code == "SIZE_INVALID")
            }
            for wrong in [
                "", "x", "1000", "1000-", "-1000", "2000-1000", "99999999999999999999-1", "1000-9223372036854775807",
            ] {
                let answer = try await send(1000..<2000, as: wrong)
                #expect(answer.status == 400, "\(wrong)")
                #expect(try answer.code == "BLOB_UPLOAD_INVALID")
            }
            #expect(try await registry.call(.GET, path).range == "0-999", "nothing of those was taken")
            #expect(try await send(1000..<500_000, as: "bytes 1000-499999/*").range == "0-499999")
            let last = try await registry.call(
                .PUT,
                path + "?digest=\(Self.digest)",
                Array(Self.blob[500_000...]),
                headers: [("Content-Range", "500000-999999")]
            )
            #expect(last.status == 201)
            try await check(registry)
        }
    }

    @Test func aChunkOfUnknownLengthMustFitItsRange() async throws {
        try await RegistryServer.with { registry async throws in
            for end in [998, 1000] {
                let answer = try await registry.call(
                    .PATCH,
                    try await registry.begin(),
                    Array(Self.blob.prefix(1000)),
                    headers: [("Content-Range", "0-\(end)")],
                    announcesLength: false
                )
                #expect(answer.status == 400)
                #expect(try answer.code == "SIZE_INVALID")
            }
        }
    }

    @Test func aWrongDigestEndsTheUploadAndLeavesNothing() async throws {
        try await RegistryServer.with { registry async throws in
            let path = try await registry.begin()
            for wrong in ["", "?digest=", "?digest=sha256:abc", "?digest=sha512:\(String(repeating: "a", count: 128))"]
            {
                let answer = try await registry.call(.PUT, path + wrong, [1])
                #expect(answer.status == 400)
                #expect(try answer.code == "DIGEST_INVALID")
            }
            #expect(try await registry.call(.GET, path).status == 204, "that was not even tried")
            let answer = try await registry.call(.PUT, path + "?digest=\(Fixtures.digest())", Self.blob)
            #expect(answer.status == 400)
            #expect(try answer.code == "DIGEST_INVALID")
            let single = try await registry.call(
                .POST,
                "/v2/a/blobs/uploads/?digest=\(Fixtures.digest())",
                Self.blob
            )
            #expect(single.status == 400)
            for gone in [path, path + "?digest=\(Self.digest)"] {
                let answer = try await registry.call(gone == path ? .GET : .PUT, gone)
                #expect(answer.status == 404)
                #expect(try answer.code == "BLOB_UPLOAD_UNKNOWN")
            }
            for digest in [Fixtures.digest(), Self.digest] {
                #expect(try await registry.call(.HEAD, "/v2/a/blobs/\(digest)").status == 404)
            }
            #expect(try registry.incoming() == [])
        }
    }

    @Test func anUploadIsCancelled() async throws {
        try await RegistryServer.with { registry async throws in
            let path = try await registry.begin()
            #expect(try await registry.call(.PATCH, path, Self.blob).status == 202)
            #expect(try registry.incoming().count == 1)
            #expect(try await registry.call(.DELETE, path).status == 204)
            #expect(try await registry.call(.DELETE, path).status == 404)
            #expect(try registry.incoming() == [])
        }
    }

    @Test func aBlobOfAnotherRepositoryIsMounted() async throws {
        try await RegistryServer.with { registry async throws in
            try await registry.push(Self.blob, to: "first")
            let mounted = try await registry.call(
                .POST,
                "/v2/second/app/blobs/uploads/?mount=\(Self.digest)&from=first"
            )
            #expect(mounted.status == 201)
            #expect(mounted.location == "/v2/second/app/blobs/\(Self.digest)")
            try await check(registry, "second/app")
            for wrong in ["\(Fixtures.digest())", "nonsense"] {
                let answer = try await registry.call(.POST, "/v2/second/app/blobs/uploads/?mount=\(wrong)&from=first")
                #expect(answer.status == 202, "then it is an upload like any other")
                #expect(try await registry.call(.DELETE, answer.location).status == 204)
            }
        }
    }

    @Test func twoClientsPushTheSameBlobAtOnce() async throws {
        try await RegistryServer.with { registry async throws in
            try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<8 {
                    group.addTask {
                        let path = try await registry.begin()
                        _ = try await registry.call(.PATCH, path, Self.blob)
                        return try await registry.call(.PUT, path + "?digest=\(Self.digest)").status
                    }
                }
                for try await status in group { #expect(status == 201) }
            }
            try await check(registry)
        }
    }

    @Test func twoClientsOnOneUploadDoNotMixTheirBytes() async throws {
        try await RegistryServer.with { registry async throws in
            let path = try await registry.begin()
            let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<4 {
                    group.addTask {
                        let headers = [("Content-Range", "0-\(Self.blob.count - 1)")]
                        return try await registry.call(.PATCH, path, Self.blob, headers: headers).status
                    }
                }
                return try await group.reduce(into: [Int]()) { $0.append($1) }
            }
            #expect(statuses.count { $0 == 202 } <= 1)
            #expect(statuses.allSatisfy { $0 == 202 || $0 == 416 }, "\(statuses)")
            // Whatever came of it, the digest decides.
            let status = try await registry.call(.PUT, path + "?digest=\(Self.digest)").status
            #expect(status == (statuses.contains(202) ? 201 : 400))
        }
    }

    @Test func tooLargeAndTooManyAreRefused() async throws {
        let limits = UploadLimits(maximumUploads: 2, maximumBlob: .kibibytes(300))
        try await RegistryServer.with(limits: limits) { registry async throws in
            let large = try await registry.call(.PATCH, try await registry.begin(), Self.blob)
            #expect(large.status == 413)
            #expect(try large.code == "SIZE_INVALID")
            #expect(try registry.incoming() == [], "it is given up")
            for _ in 0..<2 { _ = try await registry.begin() }
            let many = try await registry.call(.POST, "/v2/app/blobs/uploads/")
            #expect(many.status == 429)
            #expect(many.headers.first(name: "Retry-After") != nil)
            #expect(try many.code == "TOOMANYREQUESTS")
        }
    }

    @Test func aClientThatLeavesInTheMiddleCanGoOn() async throws {
        let token = try await RegistryServer.token(nil)
        try await RegistryServer.with { registry async throws in
            let path = try await registry.begin()
            let socket = try RawConnection(port: registry.server.port)
            socket.send(
                Array(
                    "PATCH \(path) HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \(token)\r\nContent-Length: 1000000\r\n\r\n"
                        .utf8
                ) + Self.blob.prefix(600_000)
            )
            socket.finishSending()
            let said = socket.receiveAll()
            #expect(said.isEmpty || said.contains("SIZE_INVALID"), "\(said)")
            let upload = try #require(UploadID(path.split(separator: "/").last ?? ""))
            var status = 416
            while status == 416 {
                // What was on its way to the disk when the connection ended may still arrive.
                let received = try await registry.backend.pushes.uploads.received(by: upload)
                #expect(received <= 600_000)
                status = try await registry.call(
                    .PATCH,
                    path,
                    Array(Self.blob[received...]),
                    headers: [("Content-Range", "\(received)-999999")]
                ).status
            }
            #expect(status == 202)
            #expect(try await registry.call(.PUT, path + "?digest=\(Self.digest)").status == 201)
            try await check(registry)
        }
    }

    @Test func fiveGibibytesThatAreOnlyClaimedCostNothing() async throws {
        let token = try await RegistryServer.token(nil)
        try await RegistryServer.with { registry async throws in
            let socket = try RawConnection(port: registry.server.port)
            socket.send(
                Array(
                    ("POST /v2/app/blobs/uploads/?digest=\(Self.digest) HTTP/1.1\r\nHost: x\r\n"
                        + "Authorization: Bearer \(token)\r\nContent-Length: 5368709120\r\n\r\nten bytes.").utf8
                )
            )
            socket.finishSending()
            let said = socket.receiveAll()
            #expect(said.isEmpty || said.contains("SIZE_INVALID"), "\(said)")
            // Who began with the blob has no name to go on with.
            let deadline = ContinuousClock.now + .seconds(60)
            while try !registry.incoming().isEmpty, ContinuousClock.now < deadline {
                try await Task.sleep(for: .milliseconds(10))
            }
            #expect(try registry.incoming() == [])
        }
    }
}

import AgentCore
import AgentTestSupport
import Foundation
import NIOHTTP1
import Testing

@testable import AgentHTTP

/// Who may push, what paths there are, and reading of blobs.
@Suite(.serialized) struct RegistryRequestTests {
    @Test func aClientLearnsHowToLogIn() async throws {
        let token = try await RegistryServer.token(nil)
        try await RegistryServer.with { registry async throws in
            for path in ["/v2/", "/v2", "/v2/app/tags/list", "/v2/nonsense"] {
                let stranger = try await registry.call(.GET, path, authorization: .some(nil))
                #expect(stranger.status == 401)
                #expect(stranger.headers.first(name: "WWW-Authenticate") == "Basic realm=\"hypeman\"")
                #expect(try stranger.code == "UNAUTHORIZED")
            }
            let anyone = Data("any:\(token)".utf8).base64EncodedString()
            for authorization in ["Bearer \(token)", "Basic \(anyone)", "basic \(anyone)"] {
                let answer = try await registry.call(.GET, "/v2/", authorization: authorization)
                #expect(answer.status == 200 && answer.body == Array("{}".utf8))
            }
            for wrong in ["any:wrong", "any:", "any", ":", "any:\(token)x"] {
                let header = "Basic \(Data(wrong.utf8).base64EncodedString())"
                #expect(try await registry.call(.GET, "/v2/", authorization: header).status == 401)
            }
            #expect(try await registry.call(.GET, "/v2/", authorization: "Basic !").status == 401)
        }
    }

    @Test func askingHowToLogInIsNoFailureAndWrongTokensAre() async throws {
        try await RegistryServer.with { registry async throws in
            for _ in 0..<40 {
                #expect(try await registry.call(.GET, "/v2/", authorization: .some(nil)).status == 401)
            }
            #expect(try await registry.call(.GET, "/v2/").status == 200)
            var codes: Set<String> = []
            for _ in 0..<25 { codes.insert(try await registry.call(.GET, "/v2/", authorization: "Bearer x").code) }
            #expect(codes == ["UNAUTHORIZED", "TOOMANYREQUESTS"])
        }
    }

    @Test func aPeerOnTheSocketNeedsNoToken() async throws {
        try await RegistryServer.with { registry async throws in
            #expect(try await registry.call(.GET, "/v2/", authorization: .some(nil), overSocket: true).status == 200)
        }
    }

    @Test func permissionsDecide() async throws {
        let blob = "/v2/app/blobs/\(Fixtures.digest())"
        try await RegistryServer.with { registry async throws in
            for (permission, method, path, status) in [
                ("image:write", .POST, "/v2/app/blobs/uploads/", 202), ("image:write", .HEAD, blob, 404),
                ("image:write", .GET, blob, 403), ("image:read", .GET, blob, 404), ("image:read", .HEAD, blob, 404),
                ("image:read", .POST, "/v2/app/blobs/uploads/", 403),
                ("image:read", .PUT, "/v2/app/manifests/1", 403), ("image:write", .DELETE, "/v2/app/manifests/1", 403),
                ("image:delete", .DELETE, "/v2/app/manifests/1", 404),
                ("instance:*", .GET, "/v2/app/tags/list", 403), ("instance:*", .GET, "/v2/", 200),
            ] as [(String, HTTPMethod, String, Int)] {
                let token = try await RegistryServer.token([permission])
                let answer = try await registry.call(method, path, authorization: "Bearer \(token)")
                #expect(answer.status == status, "\(permission) \(method) \(path)")
                if status == 403, method != .HEAD { #expect(try answer.code == "DENIED") }
            }
        }
    }

    @Test func whatCannotBeIsSaidInTheSpecificationsWords() async throws {
        try await RegistryServer.with { registry async throws in
            for (method, path, status, code) in [
                (.GET, "/v2/Team/app/tags/list", 400, "NAME_INVALID"),
                (.GET, "/v2/a..b/tags/list", 400, "NAME_INVALID"), (.GET, "/v2/a:1/tags/list", 400, "NAME_INVALID"),
                (.GET, "/v2/a//b/tags/list", 400, "NAME_INVALID"),
                (.GET, "/v2/..%2Fetc/tags/list", 400, "NAME_INVALID"),
                (.GET, "/v2/tags/list", 404, "NAME_UNKNOWN"), (.GET, "/v2/app", 404, "NAME_UNKNOWN"),
                (.GET, "/v2/_catalog", 404, "NAME_UNKNOWN"), (.GET, "/v2/app/blobs/x", 400, "DIGEST_INVALID"),
                (.GET, "/v2/app/manifests/1", 404, "MANIFEST_UNKNOWN"),
                (.GET, "/v2/app/manifests/sha256:1", 404, "MANIFEST_UNKNOWN"),
                (.GET, "/v2/app/manifests/\(Fixtures.digest())", 404, "MANIFEST_UNKNOWN"),
                (.GET, "/v2/app/referrers/\(Fixtures.digest())", 404, "UNSUPPORTED"),
                (.GET, "/v2/app/blobs/uploads/x", 404, "BLOB_UPLOAD_UNKNOWN"),
                (.GET, "/v2/app/blobs/uploads/\(String(repeating: "a", count: 32))", 404, "BLOB_UPLOAD_UNKNOWN"),
                (.PATCH, "/v2/app/blobs/uploads/\(String(repeating: "a", count: 32))", 404, "BLOB_UPLOAD_UNKNOWN"),
                (.GET, "/v2/app/blobs/uploads/", 405, "UNSUPPORTED"), (.POST, "/v2/", 405, "UNSUPPORTED"),
                (.DELETE, "/v2/app/blobs/\(Fixtures.digest())", 405, "UNSUPPORTED"),
            ] as [(HTTPMethod, String, Int, String)] {
                let answer = try await registry.call(method, path)
                #expect(answer.status == status, "\(method) \(path)")
                #expect(try answer.code == code, "\(method) \(path)")
                if status == 405 { #expect(answer.headers.first(name: "Allow") != nil) }
            }
        }
    }

    @Test func blobsAreReadInParts() async throws {
        try await RegistryServer.with { registry async throws in
            let blob = (0..<700_000).map { UInt8(truncatingIfNeeded: $0 &* 13 &+ $0 >> 8) }
            try await registry.push(blob)
            let path = "/v2/team/app/blobs/\(PushedImage.digest(blob))"
            let head = try await registry.call(.HEAD, path)
            #expect(head.status == 200 && head.body.isEmpty)
            #expect(head.headers.first(name: "Content-Length") == "700000")
            for (header, range) in [
                ("bytes=0-9", 0..<10), ("bytes=699990-", 699_990..<700_000), ("bytes=-5", 699_995..<700_000),
                ("bytes=100-999999999", 100..<700_000), ("bytes=-800000", 0..<700_000),
            ] {
                let answer = try await registry.call(.GET, path, headers: [("Range", header)])
                #expect(answer.status == 206 && answer.body == Array(blob[range]), "\(header)")
                let said = "bytes \(range.lowerBound)-\(range.upperBound - 1)/700000"
                #expect(answer.headers.first(name: "Content-Range") == said)
            }
            for header in ["bytes=700000-", "bytes=-0", "bytes=9999999-99999999"] {
                let answer = try await registry.call(.GET, path, headers: [("Range", header)])
                #expect(answer.status == 416, "\(header)")
                #expect(answer.headers.first(name: "Content-Range") == "bytes */700000")
            }
            for header in [
                "bytes=9-0", "bytes=", "bytes=-", "bytes=0-1,3-4", "lines=1-2", "bytes=0-99999999999999999999",
            ] {
                let answer = try await registry.call(.GET, path, headers: [("Range", header)])
                #expect(answer.status == 200 && answer.body == blob, "\(header)")
            }
        }
    }
}

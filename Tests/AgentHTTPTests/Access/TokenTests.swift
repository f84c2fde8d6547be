import AgentCore
import Foundation
import JWTKit
import NIOHTTP1
import Synchronization
import Testing

@testable import AgentHTTP

/// Tokens over TCP.
@Suite struct TokenTests {
    private static func token(_ permissions: [String]?, lifetime: Duration = .seconds(60)) async throws -> String {
        try await TokenIssuer(secret: TestServer.secret).token(
            subject: "tester",
            permissions: permissions,
            lifetime: lifetime
        )
    }

    @Test func validTokenIsLetIn() async throws {
        let token = try await Self.token(nil)
        try await TestServer.with { server async throws in
            #expect(try await server.request(.GET, "/instances", token: token).status == 200)
        }
    }

    @Test func missingTokenIs401() async throws {
        try await TestServer.with { server async throws in
            let answer = try await server.request(.GET, "/instances", token: .some(nil))
            #expect(answer.status == 401)
            #expect(answer.headers.first(name: "WWW-Authenticate") == "Bearer")
            #expect(try answer.errorCode == "unauthorized")
        }
    }

    @Test func expiredTokenIs401AndSaysSo() async throws {
        let token = try await Self.token(nil, lifetime: .seconds(-60))
        try await TestServer.with { server async throws in
            let answer = try await server.request(.GET, "/instances", token: token)
            #expect(answer.status == 401)
            #expect(try answer.errorCode == "token_expired")
        }
    }

    @Test func foreignUnsignedAndEndlessTokensAre401() async throws {
        struct Endless: JWTPayload {
            var sub: String
            func verify(using algorithm: some JWTAlgorithm) throws {}
        }
        let foreign = try await TokenIssuer(secret: "another secret, long enough to be one").token(
            subject: "x",
            lifetime: .seconds(60)
        )
        let keys = JWTKeyCollection()
        await keys.add(hmac: HMACKey(from: TestServer.secret), digestAlgorithm: .sha256)
        let endless = try await keys.sign(Endless(sub: "x"))
        let unsigned = JWTKeyCollection()
        await unsigned.addUnsecuredNone()
        let none = try await unsigned.sign(Endless(sub: "x"))
        try await TestServer.with { server async throws in
            for token in [foreign, endless, none, "", "a.b.c", "ü", String(repeating: "x", count: 10_000)] {
                let answer = try await server.request(.GET, "/instances", token: token)
                #expect(answer.status == 401, "\(token.prefix(40))")
            }
        }
    }

    @Test(arguments: [
        (["instance:read"], "GET", "/instances", 200), (["instance:*"], "GET", "/instances", 200),
        (["*"], "GET", "/instances", 200),
        (["image:read"], "GET", "/instances", 403), ([], "GET", "/instances", 403),
        (["instance:read"], "DELETE", "/instances/x", 403),
        (["instance:read"], "GET", "/instances/x/exec", 403), ([], "GET", "/capabilities", 200),
        // What is in an instance's files is for whoever may run commands there.
        (["instance:read"], "GET", "/instances/x/cp", 403), (["image:read"], "GET", "/instances/x/stat?path=/", 403),
    ])
    func permissionsDecide(permissions: [String], method: String, path: String, status: Int) async throws {
        let token = try await Self.token(permissions)
        try await TestServer.with { server async throws in
            let answer = try await server.request(.init(rawValue: method), path, token: token)
            #expect(answer.status == status)
        }
    }

    @Test func strangersLearnNothingOfPaths() async throws {
        try await TestServer.with { server async throws in
            #expect(try await server.request(.GET, "/nothing", token: .some(nil)).status == 401)
        }
    }

    @Test func tooManyFailuresAreSlowedDown() async throws {
        let good = try await Self.token(nil)
        try await TestServer.with { server async throws in
            var statuses: Set<Int> = []
            for _ in 0..<25 { statuses.insert(try await server.request(.GET, "/instances", token: "bad").status) }
            #expect(statuses == [401, 429])
            #expect(try await server.request(.GET, "/instances", token: good).status == 429)
            #expect(try await server.request(.GET, "/instances").status == 200)
        }
    }

    @Test func limiterForgetsAfterItsWindow() {
        let time = Clock()
        let limiter = FailureLimiter(limit: 2, window: .seconds(10), capacity: 2, now: { time.now })
        limiter.recordFailure(of: "a")
        #expect(limiter.delay(for: "a") == nil)
        limiter.recordFailure(of: "a")
        #expect(limiter.delay(for: "a") == .seconds(10))
        #expect(limiter.delay(for: "b") == nil)
        time.advance(by: .seconds(10))
        #expect(limiter.delay(for: "a") == nil)
    }

    @Test func limiterIsBounded() {
        let limiter = FailureLimiter(limit: 1, capacity: 10)
        for number in 0..<100 { limiter.recordFailure(of: "\(number)") }
        #expect((0..<100).count { limiter.delay(for: "\($0)") != nil } == 10)
    }
}

/// A clock that a test moves.
private final class Clock: Sendable {
    private let offset = Mutex(Duration.zero)
    private let start = ContinuousClock.now
    var now: ContinuousClock.Instant { start + offset.withLock { $0 } }
    func advance(by duration: Duration) { offset.withLock { $0 += duration } }

    @Test func aShortSecretIsTheKeyThatOthersMakeOfIt() async throws {
        // Signed by Python's hmac with the five bytes as its key; valid until 2100.
        let foreign =
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJ4IiwiZXhwIjo0MTAyNDQ0ODAwfQ."
            + "niYqEqDpazQFWOX1BYiTlQG8MlvDRJurimuzurMtYYM"
        let authenticator = await Authenticator(secret: "short", socketGroup: nil, limiter: FailureLimiter())
        let own = try await TokenIssuer(secret: "short").token(subject: "x", lifetime: .seconds(60))
        for token in [foreign, own] {
            let identity = try await authenticator.identify(.network("192.0.2.1"), authorization: "Bearer \(token)")
            #expect(identity.subject == "x")
        }
    }
}

import AgentAPI
import AgentCore
import AgentTestSupport
import Foundation
import NIOHTTP1
import Synchronization
import Testing

@testable import AgentHTTP

/// Instances that stand still, go to disk and come back, over HTTP.
@Suite struct LifecycleRouteTests {
    @Test(arguments: [
        ("pause", "Paused", false), ("resume", "Running", false), ("standby", "Standby", true),
        ("restore", "Running", false),
    ])
    func eachIsAPostWithoutABody(_ word: String, _ state: String, _ hasSnapshot: Bool) async throws {
        try await TestServer.with { server async throws in
            server.instances.add("web")
            for body in ["", "{}"] {
                let answer = try await server.request(.POST, "/instances/web/\(word)", body: body)
                #expect(answer.status == 200)
                let instance = try answer.decode(InstanceResponse.self)
                #expect(instance.state == state && instance.hasSnapshot == hasSnapshot)
            }
            let refused = try await server.request(.POST, "/instances/web/\(word)", body: #"{"colour":"red"}"#)
            #expect(refused.status == 400)
            #expect(try refused.errorCode == "unknown_field")
            #expect(try await server.request(.POST, "/instances/nope/\(word)").status == 404)
            #expect(try await server.request(.POST, "/instances/web/\(word)?x=1").status == 400)
        }
    }

    @Test func aStateThatDoesNotFitIsAConflict() async throws {
        try await TestServer.with { server async throws in
            server.instances.add("web", state: .stopped)
            let failure = AgentError(.invalidState, "instance 'web' cannot be restored: it is Stopped")
            server.instances.script.withLock { $0.failure = failure }
            let answer = try await server.request(.POST, "/instances/web/restore")
            #expect(answer.status == 409)
            #expect(try answer.errorCode == "invalid_state")
        }
    }

    @Test(arguments: [
        (#"{"compression":{"enabled":false}}"#, 200), (#"{"compression":{},"compression_delay":""}"#, 200),
        (#"{"compression":{"enabled":true,"algorithm":"zstd"}}"#, 501), (#"{"compression_delay":"5m"}"#, 501),
    ])
    func compressionThatAsksForNothingIsTaken(_ body: String, _ status: Int) async throws {
        try await TestServer.with { server async throws in
            server.instances.add("web")
            #expect(try await server.request(.POST, "/instances/web/standby", body: body).status == status)
        }
    }

    @Test func aPolicyIsTakenAndShown() async throws {
        try await TestServer.with { server async throws in
            let policy = #"{"policy":"on_failure","backoff":"2s","max_attempts":3,"stable_after":"1m30s"}"#
            let created = try await server.request(
                .POST,
                "/instances",
                body: #"{"name":"web","image":"alpine","restart_policy":\#(policy)}"#
            )
            #expect(created.status == 201)
            let request = try #require(server.instances.script.withLock { $0.created.first })
            #expect(
                request.restartPolicy
                    == RestartPolicy(
                        mode: .onFailure,
                        backoff: .seconds(2),
                        maximumAttempts: 3,
                        stableAfter: .seconds(90)
                    )
            )
            server.instances.add("job") { $0.nextRestart = Fixtures.time }
            let body = #"{"restart_policy":{"policy":"always","max_attempts":0}}"#
            let answer = try await server.request(.PATCH, "/instances/job", body: body)
            #expect(answer.status == 200)
            let shown = try answer.decode(InstanceResponse.self)
            let expected = RestartPolicyBody(
                policy: "always",
                backoff: "5s",
                maximumAttempts: 0,
                stableAfter: "600s"
            )
            #expect(shown.restartPolicy == expected)
            #expect(shown.restarts == 0 && shown.nextRestartAt == Fixtures.time)
        }
    }

    @Test(arguments: [
        (#"{"restart_policy":{"policy":"sometimes"}}"#, 400, "invalid_restart_policy", "sometimes"),
        (#"{"restart_policy":{"policy":"always","backoff":"soon"}}"#, 400, "invalid_restart_policy", "soon"),
        (#"{"restart_policy":{"policy":"always","backoff":"-5s"}}"#, 400, "invalid_restart_policy", "-5s"),
        (#"{"restart_policy":{"policy":"always","max_attempts":"3"}}"#, 400, "invalid_field", "max_attempts"),
        (#"{"restart_policy":{"policy":"always","delay":"3s"}}"#, 400, "unknown_field", "restart_policy.delay"),
        (#"{"restart_policy":"always"}"#, 400, "invalid_request", "restart_policy"),
        (#"{"ttl":"5m"}"#, 501, "not_implemented", "ttl"),
        (#"{"colour":"red"}"#, 400, "unknown_field", "colour"),
    ])
    func whatMakesNoSenseIsRefusedByName(
        _ body: String,
        _ status: Int,
        _ code: String,
        _ mention: String
    ) async throws {
        try await TestServer.with { server async throws in
            server.instances.add("web")
            let answer = try await server.request(.PATCH, "/instances/web", body: body)
            #expect(answer.status == status)
            #expect(try answer.errorCode == code)
            #expect(try answer.decode(ErrorResponse.self).message.contains(mention))
            #expect(try server.instances.get("web").specification.restartPolicy == nil)
        }
    }

    @Test func aSizeIsTakenStrictly() async throws {
        try await TestServer.with { server async throws in
            server.instances.add("web")
            let body = #"{"vcpus":3,"size":"2GB"}"#
            let answer = try await server.request(.PATCH, "/instances/web", body: body)
            #expect(answer.status == 200)
            let instance = try answer.decode(InstanceResponse.self)
            #expect(instance.vcpus == 3 && instance.size == "2.0 GB")
            for (body, code) in [
                (#"{"size":"much"}"#, "invalid_size"), (#"{"vcpus":"3"}"#, "invalid_field"),
                (#"{"cpus":3}"#, "unknown_field"),
            ] {
                let refused = try await server.request(.PATCH, "/instances/web", body: body)
                #expect(refused.status == 400)
                #expect(try refused.errorCode == code)
            }
        }
    }
}

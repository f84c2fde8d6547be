import AgentAPI
import AgentCore
import Foundation
import NIOHTTP1
import Synchronization
import Testing

@testable import AgentHTTP

/// Forks over HTTP.
@Suite struct ForkRouteTests {
    @Test func everyFieldReachesTheRequest() async throws {
        try await TestServer.with { server async throws in
            server.instances.add("web")
            let answer = try await server.request(
                .POST,
                "/instances/web/fork",
                body:
                    #"{"name":"twin","from_running":true,"target_state":"Standby","ports":[{"host_port":81,"guest_port":80}]}"#
            )
            #expect(answer.status == 201)
            let twin = try answer.decode(InstanceResponse.self)
            #expect(twin.name == "twin" && twin.state == "Standby")
            _ = try await server.request(.POST, "/instances/web/fork", body: #"{"name":"third"}"#)
            _ = try await server.request(
                .POST,
                "/instances/web/snapshots",
                body: #"{"kind":"Stopped","name":"kept"}"#
            )
            let ofSnapshot = try await server.request(.POST, "/snapshots/kept/fork", body: #"{"name":"fourth"}"#)
            #expect(ofSnapshot.status == 201)
            #expect(try ofSnapshot.decode(InstanceResponse.self).state == "Stopped")
            let forks = server.instances.script.withLock { $0.forks }
            #expect(forks.map(\.source) == ["web", "web", "kept"])
            let expected = [
                ForkInstanceRequest(
                    name: try InstanceName("twin"),
                    fromRunning: true,
                    target: .standby,
                    publishedPorts: [PublishedPort(hostPort: 81, guestPort: 80)]
                ),
                ForkInstanceRequest(name: try InstanceName("third")),
                ForkInstanceRequest(name: try InstanceName("fourth")),
            ]
            #expect(forks.map(\.request) == expected)
        }
    }

    @Test func commitAnswersWithTheImageThatIsOnItsWay() async throws {
        try await TestServer.with { server async throws in
            server.instances.add("web")
            let answer = try await server.request(
                .POST,
                "/instances/web/commit",
                body: #"{"image":"team/app:2","tags":{"a":"b"}}"#
            )
            #expect(answer.status == 202)
            let image = try answer.decode(ImageResponse.self)
            #expect(image.name == "docker.io/team/app:2" && image.status == "converting")
            let commits = server.instances.script.withLock { $0.commits }
            #expect(commits.map(\.source) == ["web"])
            let request = CommitInstanceRequest(name: try ImageReference("team/app:2"), tags: ["a": "b"])
            #expect(commits.map(\.request) == [request])
        }
    }

    @Test(arguments: [
        ("/instances/web/fork", #"{}"#, 400, "missing_field"),
        ("/instances/web/fork", #"{"name":"Not This"}"#, 400, "invalid_name"),
        ("/instances/web/fork", #"{"name":"a","target_state":"Paused"}"#, 400, "invalid_target_state"),
        ("/instances/web/fork", #"{"name":"a","from_running":"yes"}"#, 400, "invalid_field"),
        ("/instances/web/fork", #"{"name":"a","target_hypervisor":"qemu"}"#, 400, "unknown_field"),
        ("/instances/web/fork", #"{"name":"a","ports":[{"host_port":0,"guest_port":1}]}"#, 400, "invalid_ports"),
        ("/instances/nope/fork", #"{"name":"a"}"#, 404, "not_found"),
        ("/instances/web/commit", #"{}"#, 400, "missing_field"),
        ("/instances/web/commit", #"{"image":"Not This"}"#, 400, "invalid_name"),
        ("/instances/web/commit", #"{"image":"a","pause":true}"#, 400, "unknown_field"),
        ("/instances/nope/commit", #"{"image":"a"}"#, 404, "not_found"),
        ("/snapshots/nope/fork", #"{"name":"a"}"#, 404, "not_found"),
        ("/snapshots/nope/fork", #"{"name":"a","target_hypervisor":"qemu"}"#, 501, "not_implemented"),
        ("/snapshots/nope/fork", #"{"name":"a","from_running":true}"#, 400, "unknown_field"),
    ])
    func whatMakesNoSenseIsRefused(_ path: String, _ body: String, _ status: Int, _ code: String) async throws {
        try await TestServer.with { server async throws in
            server.instances.add("web")
            let answer = try await server.request(.POST, path, body: body)
            #expect(answer.status == status)
            #expect(try answer.errorCode == code)
        }
    }
}

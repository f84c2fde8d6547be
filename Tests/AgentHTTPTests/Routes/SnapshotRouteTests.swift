import AgentAPI
import AgentCore
import AgentTestSupport
import Foundation
import NIOHTTP1
import Synchronization
import Testing

@testable import AgentHTTP

/// Snapshots over HTTP.
@Suite struct SnapshotRouteTests {
    @Test func aSnapshotIsMadeListedBroughtBackAndRemoved() async throws {
        try await TestServer.with { server async throws in
            let web = server.instances.add("web")
            let created = try await server.request(
                .POST,
                "/instances/web/snapshots",
                body: #"{"kind":"Standby","name":"before","tags":{"a":"b"},"compression":{"enabled":false}}"#
            )
            #expect(created.status == 201)
            let snapshot = try created.decode(SnapshotResponse.self)
            #expect(snapshot.kind == "Standby" && snapshot.name == "before" && snapshot.tags == ["a": "b"])
            #expect(snapshot.sourceInstanceID == web.id.rawValue && snapshot.sourceInstanceName == "web")
            #expect(snapshot.compressionState == "none" && snapshot.sizeBytes == 3 << 20)

            for (query, count) in [
                ("", 1), ("?kind=Standby", 1), ("?kind=Stopped", 0), ("?name=before", 1), ("?name=After%20it", 0),
                ("?source_instance_id=\(web.id)", 1), ("?source_instance_id=web", 0),
            ] {
                let list = try await server.request(.GET, "/snapshots\(query)").decode([SnapshotResponse].self)
                #expect(list.count == count, "\(query)")
            }
            #expect(try await server.request(.GET, "/snapshots/before").decode(SnapshotResponse.self) == snapshot)

            let path = "/instances/web/snapshots/\(snapshot.id)/restore"
            for (body, state) in [("", "Standby"), (#"{"target_state":"Running"}"#, "Running")] {
                let answer = try await server.request(.POST, path, body: body)
                #expect(answer.status == 200)
                #expect(try answer.decode(InstanceResponse.self).state == state)
            }
            #expect(server.instances.script.withLock { $0.targets } == [nil, .running])
            #expect(try await server.request(.DELETE, "/snapshots/before").status == 204)
            #expect(try await server.request(.GET, "/snapshots/before").status == 404)
            #expect(try await server.request(.DELETE, "/snapshots/before").status == 404)
        }
    }

    @Test(arguments: [
        (#"{}"#, 400, "missing_field", "kind"), (#"{"kind":"Frozen"}"#, 400, "invalid_kind", "Frozen"),
        (#"{"kind":"Standby","name":"Not This"}"#, 400, "invalid_name", "Not This"),
        (#"{"kind":"Standby","tags":{"a":1}}"#, 400, "invalid_field", "tags"),
        (#"{"kind":"Standby","compression":{"enabled":true}}"#, 501, "not_implemented", "compression"),
        (#"{"kind":"Standby","colour":"red"}"#, 400, "unknown_field", "colour"),
    ])
    func whatMakesNoSenseIsRefusedByName(
        _ body: String,
        _ status: Int,
        _ code: String,
        _ mention: String
    ) async throws {
        try await TestServer.with { server async throws in
            server.instances.add("web")
            let answer = try await server.request(.POST, "/instances/web/snapshots", body: body)
            #expect(answer.status == status)
            #expect(try answer.errorCode == code)
            #expect(try answer.decode(ErrorResponse.self).message.contains(mention))
            #expect(server.instances.snapshots(SnapshotFilter()).isEmpty)
        }
    }

    @Test(arguments: [
        (#"{"target_state":"Paused"}"#, 400, "invalid_target_state"),
        (#"{"target_state":"Running","target_hypervisor":"qemu"}"#, 501, "not_implemented"),
        (#"{"to":"Running"}"#, 400, "unknown_field"),
    ])
    func aRestoreThatMakesNoSenseIsRefused(_ body: String, _ status: Int, _ code: String) async throws {
        try await TestServer.with { server async throws in
            server.instances.add("web")
            let answer = try await server.request(.POST, "/instances/web/snapshots/x/restore", body: body)
            #expect(answer.status == status)
            #expect(try answer.errorCode == code)
            #expect(server.instances.script.withLock { $0.targets.isEmpty })
        }
    }
}

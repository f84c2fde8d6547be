import AgentCore
import AgentTestSupport
import GuestProtocol
import Tar
import Testing

/// Images of what instances have become, on doubles.
@Suite struct CommitTests {
    private static func makeRunning(_ world: AgentWorld) async throws {
        try await world.awaitChannel(try await world.make("web"))
    }

    private func request(_ name: String = "team/app:2") throws -> CommitInstanceRequest {
        CommitInstanceRequest(name: try ImageReference(name), tags: ["a": "b"])
    }

    @Test func anInstancesFilesBecomeAnImageWithItsConfiguration() async throws {
        try await AgentWorld.with { world in
            try await Self.makeRunning(world)
            let input = try await world.instances.copyTo("web", GuestWriteRequest(path: "/tmp"), patience: .seconds(5))
            try await input.write(TarMember.file("kept", [1, 2, 3]) + TarMember.end)
            _ = try await input.finish()
            let release = world.pictures.hold(.read)
            let (instances, wanted) = (world.instances, try request())
            let commit = Task { try await instances.commit("web", wanted, patience: .zero) }
            while world.pictures.calls(of: .read) == 0 { try await Task.sleep(for: .milliseconds(1)) }
            let received = try #require(world.pictures.received.values.first)
            #expect(String(decoding: received, as: UTF8.self).contains("tmp/kept"))
            release()
            let image = try await commit.value
            #expect(image.name == "docker.io/team/app:2" && image.tags == ["a": "b"] && image.imported)
            let ready = try await world.images.wait(try ImageReference(image.name))
            let base = try world.images.get(try ImageReference(world.instances.get("web").specification.image))
            #expect(ready.status == .ready && ready.configuration == base.configuration && ready.digest != base.digest)
            #expect(world.pictures.openArchives == [] && world.pictures.received == [:])
            #expect(try world.instances.get("web").state == .running)
        }
    }

    @Test func whatCannotBeCommittedLeavesNothing() async throws {
        try await AgentWorld.with { world in
            try await Self.makeRunning(world)
            let before = world.images.list().map(\.name)
            func refusal(_ reference: String, _ request: CommitInstanceRequest) async throws -> AgentError {
                try #require(
                    await #expect(throws: AgentError.self) {
                        try await world.instances.commit(reference, request, patience: .zero)
                    }
                )
            }
            #expect(try await refusal("none", try request()).kind == .notFound)
            let digest = try request("team/app@\(Fixtures.digest("a"))")
            #expect(try await refusal("web", digest).code == "invalid_name")
            world.pictures.setLimit(.mebibytes(4))
            #expect(try await refusal("web", try request()).code == "image_storage_full")
            world.pictures.setLimit(nil)
            world.pictures.fail(.read, with: AgentError(.storageFull, "no room"))
            #expect(try await refusal("web", try request()).kind == .storageFull)
            _ = try await world.instances.pause("web")
            let paused = try await refusal("web", try request())
            #expect(paused.kind == .invalidState && paused.message.contains("Paused"))
            #expect(world.images.list().map(\.name) == before)
            #expect(world.pictures.openArchives == [] && world.pictures.received == [:])
        }
    }

    @Test func anOldGuestIsToldApart() async throws {
        var behaviour = GuestBehaviour()
        behaviour.features = [GuestFeature.attach, GuestFeature.files]
        try await AgentWorld.with(behaviour: behaviour) { world in
            try await Self.makeRunning(world)
            let error = await #expect(throws: AgentError.self) {
                try await world.instances.commit("web", try request(), patience: .zero)
            }
            #expect(error?.kind == .notSupported && error?.code == "guest_too_old")
        }
    }
}

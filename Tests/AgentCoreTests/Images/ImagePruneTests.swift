import AgentCore
import AgentTestSupport
import Foundation
import Testing

@Suite struct ImagePruneTests {
    /// Publishes and pulls an image of its own digest.
    @discardableResult
    private func pull(
        _ name: String,
        _ digit: Character,
        labels: [String: String] = [:],
        in world: AgentWorld
    ) async throws -> Image {
        let reference = try ImageReference(name)
        world.pictures.publish(
            FetchedImage(
                digest: Fixtures.digest(digit),
                configuration: ImageConfiguration(entrypoint: ["/bin/server"], labels: labels),
                layers: []
            ),
            as: reference
        )
        _ = try await world.images.pull(reference)
        return try await world.images.wait(reference)
    }

    @Test func whatNoInstanceUsesGoesWithAllAndTheRestStays() async throws {
        try await AgentWorld.with { world in
            try await pull("unused:1", "b", in: world)
            _ = try await world.make("web")
            _ = try await world.instances.stop("web")
            let before = world.pictures.builtDisks
            let plain = try await world.images.prune(ImagePruneRequest())
            #expect(plain.images.isEmpty && plain.reclaimed.bytes == 0)

            let dry = try await world.images.prune(ImagePruneRequest(all: true, dryRun: true))
            #expect(dry.images.map(\.name) == ["docker.io/library/unused:1"])
            #expect(dry.reclaimed == .mebibytes(4) && dry.isDryRun)
            #expect(world.pictures.builtDisks == before && world.images.list().count == 2)

            let done = try await world.images.prune(ImagePruneRequest(all: true))
            #expect(done.images == dry.images && done.reclaimed == dry.reclaimed)
            #expect(world.images.list().map(\.name) == [AgentWorld.imageName], "the one of a stopped instance stays")
            #expect(try await world.store.load().images.count == 1)
            _ = try await world.instances.start("web", StartInstanceRequest())
        }
    }

    @Test func aDiskWhoseNameMovedOnGoesUnlessAnInstanceHasIt() async throws {
        try await AgentWorld.with { world in
            _ = try await world.make("web")
            try await pull(AgentWorld.imageName, "b", in: world)
            #expect(world.pictures.builtDisks.count == 2)
            #expect(try await world.images.prune(ImagePruneRequest()).reclaimed.bytes == 0)
            try await world.instances.delete("web")
            #expect(try await world.images.prune(ImagePruneRequest(dryRun: true)).reclaimed == .mebibytes(4))
            #expect(try await world.images.prune(ImagePruneRequest()).reclaimed == .mebibytes(4))
            #expect(world.pictures.builtDisks == [Fixtures.digest("b")])
        }
    }

    @Test func failedImagesGoAndThoseUnderWayStay() async throws {
        try await AgentWorld.with { world in
            world.pictures.fail(.fetch, with: AgentError(.unavailable, "the registry is gone"))
            #expect(try await pull("broken:1", "c", in: world).status == .failed)
            let release = world.pictures.hold(.build)
            let reference = try ImageReference("slow:1")
            world.pictures.publish(
                FetchedImage(digest: Fixtures.digest("d"), configuration: ImageConfiguration(), layers: []),
                as: reference
            )
            _ = try await world.images.pull(reference)
            let report = try await world.images.prune(ImagePruneRequest(all: true))
            #expect(report.images.map(\.name) == ["docker.io/library/broken:1", AgentWorld.imageName])
            release()
            #expect(try await world.images.wait(reference).status == .ready)
            #expect(world.pictures.builtDisks == [Fixtures.digest("d")])
        }
    }

    @Test func filtersChoose() async throws {
        try await AgentWorld.with { world in
            try await pull("red:1", "b", labels: ["color": "red"], in: world)
            try await pull("blue:1", "c", labels: ["color": "blue", "keep": ""], in: world)
            func names(_ labels: [ImagePruneRequest.Label], before: Date? = nil) async throws -> [String] {
                try await world.images.prune(
                    ImagePruneRequest(all: true, dryRun: true, createdBefore: before, labels: labels)
                ).images.map { String($0.name.dropFirst("docker.io/library/".count)) }
            }
            #expect(try await names([.init("color")]) == ["blue:1", "red:1"])
            #expect(try await names([.init("color", value: "red")]) == ["red:1"])
            #expect(try await names([.init("color"), .init("keep", isExcluded: true)]) == ["red:1"])
            #expect(try await names([.init("color", value: "red", isExcluded: true)]) == ["blue:1", "test:latest"])
            #expect(try await names([], before: .distantPast) == [])
            #expect(try await names([], before: .distantFuture).count == 3)
        }
    }

    @Test func aDeleteDoesNotWaitForAnotherPull() async throws {
        try await AgentWorld.with { world in
            let reference = try ImageReference("slow:1")
            world.pictures.publish(
                FetchedImage(digest: Fixtures.digest("d"), configuration: ImageConfiguration(), layers: []),
                as: reference
            )
            let release = world.pictures.hold(.fetch)
            _ = try await world.images.pull(reference)
            try await world.images.delete(try ImageReference(AgentWorld.imageName))
            #expect(world.pictures.builtDisks == [])
            release()
            #expect(try await world.images.wait(reference).status == .ready)
        }
    }

    @Test func disksOfInstancesSurviveGarbageCollectionBeforeTheyAreTakenUp() async throws {
        try await AgentWorld.with { world in
            _ = try await world.make("web")
            let state = try await world.store.load()
            try await world.images.recover([], keepingDisksOf: state.instances.map(\.specification.imageDigest))
            #expect(world.pictures.builtDisks == [Fixtures.digest()])
        }
    }

    @Test func anImageIsSavedOnceItIsReady() async throws {
        try await AgentWorld.with { world in
            let archive = try await world.images.archive(try ImageReference(AgentWorld.imageName))
            #expect(archive.size > 0)
            world.pictures.fail(.build, with: AgentError(.storageFull, "full"))
            #expect(try await pull("broken:1", "c", in: world).status == .failed)
            let error = await #expect(throws: AgentError.self) {
                try await world.images.archive(try ImageReference("broken:1"))
            }
            #expect(error?.code == "image_not_ready" && error?.message.contains("full") == true)
        }
    }
}

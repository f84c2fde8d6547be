import AgentCore
import AgentTestSupport
import Testing

struct ImagesServiceTests {
    private let second = "docker.io/library/second:2"

    /// Makes the world's image known under a second name.
    private func shareDigest(_ world: AgentWorld) async throws -> ImageReference {
        let reference = try ImageReference(second)
        world.pictures.publish(
            FetchedImage(
                digest: Fixtures.digest(),
                configuration: ImageConfiguration(entrypoint: ["/bin/server"]),
                layers: []
            ),
            as: reference
        )
        return reference
    }

    @Test func aSecondNameOfADigestIsReadyAtOnceAndOutlivesTheFirst() async throws {
        try await AgentWorld.with { world in
            let first = try ImageReference(AgentWorld.imageName)
            let reference = try await shareDigest(world)
            let image = try await world.images.pull(reference)
            let known = try world.images.get(first)
            #expect(image.status == .ready && image.digest == known.digest)
            #expect(world.pictures.calls(of: .fetch) == 1 && world.pictures.calls(of: .build) == 1)
            try await world.images.delete(first)
            #expect(world.pictures.builtDisks == [image.digest])
            let request = CreateInstanceRequest(name: try InstanceName("web"), image: reference)
            let instance = try await world.instances.create(request)
            _ = try await world.wait(instance.id, for: .running)
            let error = await #expect(throws: AgentError.self) { try await world.images.delete(reference) }
            #expect(error?.code == "image_in_use")
            try await world.instances.delete("web")
            try await world.images.delete(reference)
            #expect(world.pictures.builtDisks == [])
        }
    }

    @Test func credentialsOfAPullReachTheRegistryAndAreNotStored() async throws {
        try await AgentWorld.with { world in
            let reference = try ImageReference("private:1")
            let fetched = FetchedImage(
                digest: Fixtures.digest("c"),
                configuration: ImageConfiguration(entrypoint: ["/bin/server"]),
                layers: []
            )
            world.pictures.publish(fetched, as: reference)
            let before = world.pictures.credentials.count
            let mine = RegistryCredentials.password(user: "me", password: "geheim")
            _ = try await world.images.pull(reference, credentials: mine)
            let image = try await world.images.wait(reference)
            #expect(image.status == .ready)
            #expect(world.pictures.credentials.dropFirst(before) == [mine, mine])
            var dumped = ""
            dump(image, to: &dumped)
            #expect(!dumped.contains("geheim"))
        }
    }

    @Test func twoNamesOfADigestShareOneConversionThatOutlivesTheFirst() async throws {
        try await AgentWorld.with { world in
            let (one, two) = (try ImageReference("one:1"), try ImageReference("two:1"))
            let fetched = FetchedImage(
                digest: Fixtures.digest("b"),
                configuration: ImageConfiguration(entrypoint: ["/bin/server"]),
                layers: []
            )
            for name in [one, two] { world.pictures.publish(fetched, as: name) }
            let release = world.pictures.hold(.build)
            _ = try await world.images.pull(one)
            let before = world.pictures.calls(of: .fetch)
            #expect(try await world.images.pull(two).status != .ready)
            // It waits for what is under way before it looks for what nobody needs.
            let images = world.images
            async let deletion: Void = images.delete(one)
            while images.list().contains(where: { $0.name == one.description }) { await Task.yield() }
            release()
            try await deletion
            #expect(try await world.images.wait(two).status == .ready)
            #expect(world.pictures.calls(of: .fetch) <= before + 1)
        }
    }

    private static func fetched(_ digit: Character) -> FetchedImage {
        FetchedImage(
            digest: Fixtures.digest(digit),
            configuration: ImageConfiguration(entrypoint: ["/bin/server"]),
            layers: []
        )
    }

    @Test func severalCallersShareOnePullAndOneThatLeavesTakesNobodyWithIt() async throws {
        try await AgentWorld.with { world in
            let reference = try ImageReference("shared:1")
            world.pictures.publish(Self.fetched("d"), as: reference)
            let before = [InMemoryImages.Step.fetch, .build].map { world.pictures.calls(of: $0) }
            let release = world.pictures.hold(.fetch)
            let images = world.images
            let callers = (0..<20).map { _ in
                Task {
                    _ = try await images.pull(reference)
                    return try await images.wait(reference).status
                }
            }
            while world.pictures.calls(of: .fetch) == before[0] { await Task.yield() }
            callers[0].cancel()
            release()
            for caller in callers.dropFirst() { #expect(try await caller.value == .ready) }
            let after = [InMemoryImages.Step.fetch, .build].map { world.pictures.calls(of: $0) }
            #expect(zip(before, after).allSatisfy { $1 == $0 + 1 }, "\(before) \(after)")
        }
    }

    @Test func asManyAreUnderWayAsTheConfigurationSaysAndTheOthersWaitInOrder() async throws {
        try await AgentWorld.with { world in
            let names = try (0..<4).map { try ImageReference("many-\($0):1") }
            for (name, digit) in zip(names, "cdef") { world.pictures.publish(Self.fetched(digit), as: name) }
            let before = world.pictures.calls(of: .fetch)
            let release = world.pictures.hold(.fetch)
            for name in names { _ = try await world.images.pull(name) }
            while world.pictures.calls(of: .fetch) < before + 2 { await Task.yield() }
            let statuses = try names.map { try world.images.get($0).status }
            #expect(statuses == [.pulling, .pulling, .pending, .pending])
            #expect(world.pictures.calls(of: .fetch) == before + 2)
            release()
            for name in names { #expect(try await world.images.wait(name).status == .ready) }
        }
    }
}

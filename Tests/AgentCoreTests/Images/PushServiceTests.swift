import AgentCore
import AgentTestSupport
import Logging
import Testing

/// Pushed images among all images.
@Suite struct PushServiceTests {
    private static func pushes(_ world: AgentWorld, _ uploads: InMemoryUploads = InMemoryUploads()) -> PushService {
        PushService(
            uploads: uploads,
            images: world.images,
            time: .system,
            logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
        )
    }

    private static func push(
        _ image: PushedImage,
        to pushes: PushService,
        as reference: PushService.Reference
    ) async throws -> Digest {
        for blob in image.blobs {
            let upload = try await pushes.uploads.begin()
            try await pushes.uploads.append(blob, to: upload, at: 0)
            try await pushes.uploads.finish(upload, as: PushedImage.digest(blob))
        }
        return try await pushes.push(
            image.manifest,
            type: PushedImage.manifestType,
            to: try RepositoryName("team/app"),
            as: reference
        )
    }

    @Test(arguments: ["", "App", "a:1", "a@b", "a..b", "/a", "a/", "a//b", "EXAMPLE.com/a", "a b", "ä"])
    func namesThatAreNoPathAreRefused(_ text: String) {
        let error = #expect(throws: AgentError.self) { try RepositoryName(text) }
        #expect(error?.code == "invalid_name")
    }

    @Test(arguments: ["", "-a", "a@sha256:1", "a/b", "a:b", String(repeating: "a", count: 129)])
    func tagsThatAreNoneAreRefused(_ tag: String) throws {
        let name = try RepositoryName("team/app")
        #expect(throws: AgentError.self) { try name.tagged(tag) }
    }

    @Test func aPushReplacesWhatTheTagWas() async throws {
        try await AgentWorld.with { world in
            let pushes = Self.pushes(world)
            let name = try ImageReference("team/app:1")
            for command in ["/one", "/two"] {
                let image = try PushedImage(layers: [Array(command.utf8)], command: [command])
                _ = try await Self.push(image, to: pushes, as: .tag("1"))
                let ready = try await world.images.wait(name)
                #expect(ready.status == .ready && ready.digest == image.digest)
                #expect(ready.configuration?.command == [command])
            }
            #expect(try pushes.tags(of: try RepositoryName("team/app")) == ["1"])
        }
    }

    @Test func pushedWhileItIsConvertedIsReadyUnderBothNames() async throws {
        try await AgentWorld.with { world in
            let pushes = Self.pushes(world)
            let image = try PushedImage(layers: [[1]])
            let open = world.pictures.hold(.build)
            _ = try await Self.push(image, to: pushes, as: .tag("1"))
            async let second = Self.push(image, to: pushes, as: .tag("2"))
            open()
            #expect(try await second == image.digest)
            for tag in ["1", "2"] {
                #expect(try await world.images.wait(try ImageReference("team/app:\(tag)")).status == .ready)
            }
        }
    }

    @Test func aConversionThatFailedIsTriedAgainByTheNextPush() async throws {
        try await AgentWorld.with { world in
            let pushes = Self.pushes(world)
            let image = try PushedImage(layers: [[1]])
            let name = try ImageReference("team/app:1")
            world.pictures.fail(.build, with: AgentError(.invalidArgument, code: "invalid_layer", "no tar"))
            _ = try await Self.push(image, to: pushes, as: .tag("1"))
            #expect(try await world.images.wait(name).status == .failed)
            _ = try await Self.push(image, to: pushes, as: .tag("1"))
            #expect(try await world.images.wait(name).status == .ready)
        }
    }

    @Test func anIndexIsServedAfterARestartAndGoesWithItsName() async throws {
        try await AgentWorld.with { world in
            let uploads = InMemoryUploads()
            let name = try RepositoryName("team/app")
            let foreign = Platform(os: "linux", architecture: "s390x")
            let own = try PushedImage(layers: [[1]])
            let other = try PushedImage(layers: [[1]], platform: foreign)
            var pushes = Self.pushes(world, uploads)
            for image in [own, other] { _ = try await Self.push(image, to: pushes, as: .digest(image.digest)) }
            #expect(world.images.list().count == 1, "the world's own")
            let index = try PushedImage.index([(other, foreign), (own, .host)])
            let digest = try await pushes.push(index, type: nil, to: name, as: .tag("1"))
            _ = try await world.images.wait(try ImageReference("team/app:1"))
            try await world.restart()
            pushes = Self.pushes(world, uploads)
            #expect(try await pushes.manifest(.tag("1"), in: name).bytes == index)
            #expect(try await pushes.manifest(.digest(own.digest), in: name).bytes == own.manifest)
            try await pushes.delete(.digest(digest), in: name)
            let error = await #expect(throws: AgentError.self) { try await pushes.manifest(.tag("1"), in: name) }
            #expect(error?.kind == .notFound)
            #expect(throws: AgentError.self) { try pushes.tags(of: name) }
        }
    }

    @Test func anImageInUseIsNotDeleted() async throws {
        try await AgentWorld.with { world in
            let pushes = Self.pushes(world)
            let image = try PushedImage(layers: [[1]])
            let name = try ImageReference("team/app:1")
            _ = try await Self.push(image, to: pushes, as: .tag("1"))
            _ = try await world.images.wait(name)
            _ = try await world.instances.create(CreateInstanceRequest(name: try InstanceName("web"), image: name))
            let error = await #expect(throws: AgentError.self) {
                try await pushes.delete(.digest(image.digest), in: try RepositoryName("team/app"))
            }
            #expect(error?.code == "image_in_use")
        }
    }
}

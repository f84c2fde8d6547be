import AgentCore
import AgentTestSupport
import GuestProtocol
import Tar
import Testing

/// Copies through the service: which instance, in which state, with which guest.
@Suite struct CopyTests {
    private static func makeRunning(_ world: AgentWorld) async throws {
        try await world.awaitChannel(try await world.make("web"))
    }

    @Test func filesGoToTheInstanceThatIsNamed() async throws {
        try await AgentWorld.with { world in
            try await Self.makeRunning(world)
            let input = try await world.instances.copyTo("web", GuestWriteRequest(path: "/tmp"), patience: .seconds(5))
            try await input.write(TarMember.file("f", [1, 2, 3]) + TarMember.end)
            #expect(try await input.finish().bytes == 3)
            let request = GuestPathRequest(path: "/tmp/f")
            #expect(try await world.instances.pathStatus("web", request, patience: .zero).size == 3)
            var archive: [UInt8] = []
            for try await event in try await world.instances.copyFrom(
                "web",
                GuestReadRequest(path: "/tmp/f", name: "other"),
                patience: .zero
            ) {
                if case .bytes(let bytes) = event { archive += bytes }
            }
            #expect(archive.starts(with: Array("other".utf8)))
        }
    }

    @Test func anInstanceThatDoesNotRunHasNoFilesToCopy() async throws {
        try await AgentWorld.with { world in
            try await Self.makeRunning(world)
            _ = try await world.instances.pause("web")
            let error = await #expect(throws: AgentError.self) {
                try await world.instances.pathStatus("web", GuestPathRequest(path: "/"), patience: .zero)
            }
            #expect(error?.kind == .invalidState && error?.message.contains("Paused") == true)
            let missing = await #expect(throws: AgentError.self) {
                try await world.instances.pathStatus("none", GuestPathRequest(path: "/"), patience: .zero)
            }
            #expect(missing?.kind == .notFound)
        }
    }

    @Test(arguments: ["", "relative", "/with\0nul", "/" + String(repeating: "x", count: 4096)])
    func aPathThatIsNoneIsRefusedBeforeTheGuestHearsOfIt(path: String) async throws {
        try await AgentWorld.with { world in
            try await Self.makeRunning(world)
            let error = await #expect(throws: AgentError.self) {
                try await world.instances.copyTo("web", GuestWriteRequest(path: path), patience: .zero)
            }
            #expect(error?.code == "invalid_path")
            let name = await #expect(throws: AgentError.self) {
                try await world.instances.copyFrom("web", GuestReadRequest(path: "/", name: "a/b"), patience: .zero)
            }
            #expect(name?.kind == .invalidArgument)
        }
    }

    @Test func anOldGuestIsToldApart() async throws {
        var behaviour = GuestBehaviour()
        behaviour.features = [GuestFeature.attach]
        try await AgentWorld.with(behaviour: behaviour) { world in
            try await Self.makeRunning(world)
            let error = await #expect(throws: AgentError.self) {
                try await world.instances.copyFrom("web", GuestReadRequest(path: "/"), patience: .zero)
            }
            #expect(error?.kind == .notSupported && error?.code == "guest_too_old")
            #expect(error?.message.contains("stop and start") == true)
        }
    }

    @Test func aGuestsFailureIsTranslatedAndBounded() {
        for (reason, kind) in [
            ("not_found", AgentError.Kind.notFound), ("full", .storageFull), ("outside", .invalidArgument),
            ("damaged", .invalidArgument), ("something new", .unavailable),
        ] {
            let words = "/x\u{1B}[2J\n" + String(repeating: "y", count: 100_000)
            let error = GuestFilesResult.Failure(reason: reason, path: "/x", message: words).error
            #expect(error.kind == kind)
            #expect(error.message.contains("/x") && !error.message.contains("\u{1B}") && error.message.count < 7_000)
        }
    }
}

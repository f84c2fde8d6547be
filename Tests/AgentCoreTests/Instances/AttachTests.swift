import AgentCore
import AgentTestSupport
import Foundation
import GuestProtocol
import Testing

/// Followed logs, and attaching to an instance's program.
@Suite struct AttachTests {
    private func texts(_ lines: AsyncThrowingStream<LogLine, any Error>) async throws -> [String] {
        var texts: [String] = []
        for try await line in lines { texts.append(String(decoding: line.bytes, as: UTF8.self)) }
        return texts
    }

    // MARK: Followed logs

    @Test func followedLogEndsWithTheRunAndMissesNothing() async throws {
        for number in 0..<100 {
            let output = (0...number).map { "line \($0)\n" }.joined()
            try await AgentWorld.with(behaviour: .runs(output: output, exit: 3)) { world in
                let instance = try await world.instances.create(try world.request("job"))
                let lines = try await world.instances.logs("job", source: .app, tail: nil, follow: true)
                #expect(try await texts(lines) == (0...number).map { "line \($0)" })
                // Whoever has seen the end finds the instance stopped, and its code.
                let stopped = try world.instances.get(instance.id.rawValue)
                #expect(stopped.state == .stopped && stopped.exit?.code == 3)
                let again = try await world.instances.logs("job", source: .app, tail: 1, follow: true)
                #expect(try await texts(again) == ["line \(number)"])
            }
        }
    }

    @Test func followedLogEndsWithItsOwnRunAndNotWithTheNext() async throws {
        try await AgentWorld.with { world in
            let instance = try await world.make("web")
            world.host.writeOutput("first\n", of: instance.id)
            let lines = try await world.instances.logs("web", source: .app, tail: nil, follow: true)
            _ = try await world.instances.stop("web")
            _ = try await world.instances.start("web")
            #expect(try await texts(lines) == ["first"])
            let next = try await world.instances.logs("web", source: .app, tail: 0, follow: true)
            _ = try await world.wait(instance.id, for: .running)
            world.host.writeOutput("second\n", of: instance.id)
            _ = try await world.instances.stop("web")
            #expect(try await texts(next) == ["second"])
        }
    }

    @Test func followedLogEndsWithADelete() async throws {
        try await AgentWorld.with { world in
            let instance = try await world.make("web")
            world.host.writeOutput("one\n", of: instance.id)
            let lines = try await world.instances.logs("web", source: .app, tail: nil, follow: true)
            var reader = lines.makeAsyncIterator()
            #expect(try await reader.next()?.bytes == Array("one".utf8))
            try await world.instances.delete("web")
            #expect(try await reader.next() == nil)
        }
    }

    // MARK: Attaching

    private static var copying: GuestBehaviour {
        var behaviour = GuestBehaviour()
        behaviour.output = "hello\n$ "
        behaviour.input = .echoed
        return behaviour
    }

    private func attachable(_ world: AgentWorld, _ name: String) async throws -> Instance {
        var request = try world.request(name)
        request.terminal = true
        request.openStandardInput = true
        return try await world.wait(try await world.instances.create(request).id, for: .running)
    }

    @Test(arguments: [false, true]) func attachmentCarriesInputOutputAndExit(includesLog: Bool) async throws {
        try await AgentWorld.with(behaviour: Self.copying) { world in
            let instance = try await attachable(world, "box")
            let bytes = try #require(world.disks.configuration(of: instance.id))
            let guest = try JSONDecoder().decode(GuestConfiguration.self, from: Data(bytes))
            #expect(guest.terminal && guest.openStandardInput)
            // The prompt is in the log before anybody attaches.
            var log = try await world.instances.logs("box", source: .app, tail: nil, follow: true).makeAsyncIterator()
            while let line = try await log.next(), !line.isPartial {}
            let size = TerminalSize(rows: 3, columns: 4)
            let attached = try await world.instances.attach(
                "box",
                AttachInstanceRequest(size: size, includesLog: includesLog),
                patience: .seconds(30)
            )
            try await attached.write(Array("ls\n".utf8))
            try await attached.resize(TerminalSize(rows: 5, columns: 6))
            try await attached.closeInput()
            var text = ""
            var exits: [GuestExit] = []
            for try await event in attached.events {
                switch event {
                case .output(let stream, let bytes):
                    #expect(stream == .stdout && exits.isEmpty)
                    text += String(decoding: bytes, as: UTF8.self)
                case .exited(let exit): exits.append(exit)
                }
            }
            #expect(text == (includesLog ? "hello\n$ 3 4\nls\n5 6\n" : "$ 3 4\nls\n5 6\n"))
            #expect(exits == [GuestExit(code: 0)])
            #expect(try world.instances.get("box").state == .stopped)
        }
    }

    @Test func whoeverLeavesChangesNothing() async throws {
        try await AgentWorld.with(behaviour: Self.copying) { world in
            let instance = try await attachable(world, "box")
            let first = try await world.instances.attach("box", AttachInstanceRequest(), patience: .seconds(30))
            await first.leave()
            await #expect(throws: AgentError.self) { try await first.write([1]) }
            #expect(try world.instances.get("box").state == .running)
            let second = try await world.instances.attach("box", AttachInstanceRequest(), patience: .seconds(30))
            try await second.signal(15)
            let last = try await second.events.reduce(nil) { $1 }
            #expect(last == .exited(GuestExit(code: 143, signal: 15)))
            #expect(try world.instances.get(instance.id.rawValue).exit?.reason == .signalled)
        }
    }

    @Test func attachingNeedsARunningProgramWithStdinOrTerminal() async throws {
        try await AgentWorld.with(behaviour: Self.copying) { world in
            _ = try await world.make("plain")
            let request = AttachInstanceRequest()
            let none = await #expect(throws: AgentError.self) {
                try await world.instances.attach("plain", request, patience: .seconds(30))
            }
            #expect(none?.kind == .notSupported && none?.code == "not_attachable")
            _ = try await attachable(world, "box")
            _ = try await world.instances.stop("box")
            let stopped = await #expect(throws: AgentError.self) {
                try await world.instances.attach("box", request, patience: .seconds(30))
            }
            #expect(stopped?.kind == .invalidState)
        }
    }

    @Test func systemdHasNeitherTerminalNorStdin() async throws {
        try await AgentWorld.with { world in
            var request = try world.request("os")
            request.entrypoint = ["/sbin/init"]
            request.terminal = true
            let refused = request
            let error = await #expect(throws: AgentError.self) { try await world.instances.create(refused) }
            #expect(error?.kind == .invalidArgument && error?.code == "systemd_without_terminal")
            #expect(world.instances.list().isEmpty)
        }
    }

    @Test func specificationStoredByTheFirstReleaseIsStillRead() throws {
        let text = """
            {"name":{"rawValue":"web"},"image":"docker.io/library/test:latest","imageDigest":"sha256:\(
            String(repeating: "a", count: 64))","vcpus":1,"memory":{"bytes":268435456},
            "overlaySize":{"bytes":1073741824},"environment":{"A":"1"},"command":["/bin/true"],
            "tags":{"team":"blue"},"networkEnabled":false}
            """
        let stored = try JSONDecoder().decode(InstanceSpecification.self, from: Data(text.utf8))
        #expect(stored == Fixtures.instance("web").specification)
        #expect(!stored.terminal && !stored.openStandardInput)
        var changed = stored
        changed.terminal = true
        changed.openStandardInput = true
        let again = try JSONDecoder().decode(InstanceSpecification.self, from: try JSONEncoder().encode(changed))
        #expect(again == changed)
    }
}

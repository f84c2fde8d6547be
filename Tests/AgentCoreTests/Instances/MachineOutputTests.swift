import AgentCore
import AgentTestSupport
import Foundation
import SystemPackage
import Testing

struct MachineOutputTests {
    /// Writes as a VMM does to its stderr.
    private func say(_ text: String, _ instance: Instance, _ world: AgentWorld) throws {
        let path = world.runtime.appending("vms").appending(instance.id.rawValue).appending("vmm.log")
        let file = try FileDescriptor.open(
            path,
            .writeOnly,
            options: [.create, .append],
            permissions: .ownerReadWrite
        )
        _ = try file.closeAfter { try file.writeAll(text.utf8) }
    }

    private func lines(_ world: AgentWorld, follow: Bool = false) async throws -> AsyncThrowingStream<
        LogLine, any Error
    > {
        try await world.instances.logs("web", source: .vmm, tail: nil, follow: follow)
    }

    private func next(_ count: Int, _ world: AgentWorld) async throws -> [String] {
        var texts: [String] = []
        for try await line in try await lines(world, follow: true) {
            texts.append(String(decoding: line.bytes, as: UTF8.self))
            if texts.count == count { break }
        }
        return texts
    }

    @Test func whatTheVMMSaysIsInItsLogWhileItRunsAndOnceOverARestart() async throws {
        try await AgentWorld.with { world in
            let instance = try await world.make("web")
            try say("one\n", instance, world)
            #expect(try await next(1, world) == ["one"])
            try say("two\nthr", instance, world)
            #expect(try await next(2, world) == ["one", "two"])
            let said = world
            try await world.restart {
                #expect(throws: Never.self) { try self.say("ee\nfour\n", instance, said) }
            }
            #expect(try await next(4, world) == ["one", "two", "three", "four"])
            try say("five\nlast words", instance, world)
            _ = try await world.instances.stop("web")
            #expect(try await next(6, world) == ["one", "two", "three", "four", "five", "last words"])
            var all = 0
            for try await _ in try await lines(world) { all += 1 }
            #expect(all == 6, "nothing comes twice")
        }
    }

    @Test func aFileThatWasEmptiedIsReadFromItsStart() async throws {
        try await AgentWorld.with { world in
            let instance = try await world.make("web")
            try say("before it was emptied\n", instance, world)
            #expect(try await next(1, world) == ["before it was emptied"])
            let path = world.runtime.appending("vms").appending(instance.id.rawValue).appending("vmm.log")
            try Data().write(to: URL(fileURLWithPath: path.string))
            try say("after\n", instance, world)
            #expect(try await next(2, world) == ["before it was emptied", "after"])
        }
    }

    @Test func aVMMThatComplainsWithoutEndLosesNoLine() async throws {
        try await AgentWorld.with { world in
            let instance = try await world.make("web")
            for number in 0..<20 {
                try say((0..<500).map { "line \(number * 500 + $0)\n" }.joined(), instance, world)
            }
            #expect(try await next(10_000, world) == (0..<10_000).map { "line \($0)" })
        }
    }
}

import AgentTestSupport
import DBus
import Foundation
import Glibc
import Synchronization
import SystemPackage
import Testing

/// Open files that go over the bus.
@Suite(.serialized) struct DescriptorTests {
    private static let interface = "org.example.Pipes"

    private static func pipes(_ taken: @escaping @Sendable (UnixDescriptor) -> Void) -> Interface {
        Interface(
            interface,
            [
                .method("Write", ["end", "text"]) { (_: Call, end: UnixDescriptor, text: String) in
                    guard let number = end.take() else { return }
                    let file = FileDescriptor(rawValue: number)
                    try file.closeAfter { _ = try file.writeAll(text.utf8) }
                },
                .method("Hold", ["end"]) { (_: Call, end: UnixDescriptor) in taken(end) },
                .method("Open", returns: ["reader"]) { (_: Call) in
                    let (reader, writer) = try FileDescriptor.pipe()
                    try writer.closeAfter { _ = try writer.writeAll("from the service".utf8) }
                    return UnixDescriptor(owning: reader.rawValue)
                },
                .method("Ignore", ["ends"]) { (_: Call, _: [UnixDescriptor]) in },
            ]
        )
    }

    private func openFiles() throws -> Int {
        try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count
    }

    private func text(_ descriptor: UnixDescriptor) throws -> String {
        let file = FileDescriptor(rawValue: try #require(descriptor.take()))
        return try file.closeAfter {
            var buffer = [UInt8](repeating: 0, count: 100)
            let count = try buffer.withUnsafeMutableBytes { try file.read(into: $0) }
            return String(decoding: buffer.prefix(count), as: UTF8.self)
        }
    }

    @Test func theyArriveAndNoneIsLeftOpen() async throws {
        try await withLamp { _, service, client async throws in
            await service.export([Self.pipes { _ in }], at: path("/pipes"))
            func call(_ member: String, _ arguments: [Value] = []) async throws -> [Value] {
                try await client.call(member, of: Self.interface, at: path("/pipes"), Lamp.name, arguments)
            }
            _ = try await call("Ignore", [.array(element: "h", [])])
            let before = try openFiles()
            for round in 0..<50 {
                let (reader, writer) = try FileDescriptor.pipe()
                let end = UnixDescriptor(owning: writer.rawValue)
                _ = try await call("Write", [.descriptor(end), .string("round \(round)")])
                #expect(try text(UnixDescriptor(owning: reader.rawValue)) == "round \(round)")
                guard case .descriptor(let opened)? = try await call("Open").first else {
                    Issue.record("no descriptor")
                    return
                }
                #expect(try text(opened) == "from the service")
                let many = try (0..<16).map { _ in
                    UnixDescriptor(owning: try FileDescriptor.standardInput.duplicate().rawValue)
                }
                _ = try await call("Ignore", [.array(element: "h", many.map { .descriptor($0) })])
                // Such as nobody takes: the signature is wrong.
                await #expect(throws: DBusError.self) { try await call("Open", [.descriptor(many[0])]) }
            }
            #expect(try openFiles() <= before)
        }
    }

    @Test func anEndThatIsHeldIsOpenUntilItIsLetGo() async throws {
        try await withLamp { _, service, client async throws in
            let held = Mutex<UnixDescriptor?>(nil)
            await service.export([Self.pipes { end in held.withLock { $0 = end } }], at: path("/pipes"))
            let (reader, writer) = try FileDescriptor.pipe()
            try await client.call(
                "Hold",
                of: Self.interface,
                at: path("/pipes"),
                Lamp.name,
                [.descriptor(UnixDescriptor(owning: writer.rawValue))]
            )
            var end = pollfd(fd: reader.rawValue, events: Int16(POLLIN), revents: 0)
            #expect(poll(&end, 1, 0) == 0)
            held.withLock { $0 = nil }
            // The argument list of the call may live a moment longer than its answer.
            #expect(poll(&end, 1, 5000) == 1 && Int32(end.revents) & POLLHUP != 0)
            try reader.close()
        }
    }
}

import AgentTestSupport
import DBus
import Glibc
import Testing

@Suite struct ValueTests {
    @Test(arguments: [
        ("a1b2", "a1b2"), ("1a", "_31a"), ("a_b", "a_5fb"), ("", "_"), ("ä", "_c3_a4"),
        ("docker.io/x:1", "docker_2eio_2fx_3a1"),
    ])
    func pathsAreEscapedAsSystemdDoes(_ text: String, _ escaped: String) throws {
        let path = path("/x").appending(escaped: text)
        #expect(path.description == "/x/\(escaped)")
        #expect(path.lastElement == text)
    }

    @Test(arguments: ["_5", "_zz", "_61", "a_", "_ff", "__"])
    func aPathThatNoTextHasIsNothings(_ element: String) {
        #expect(path("/x/\(element)").lastElement == nil)
    }

    @Test(arguments: ["", "x", "/x/", "//", "/x-y", "/x\0", "/ä"])
    func whatIsNoPathIsRefused(_ text: String) {
        #expect(ObjectPath(text) == nil)
    }

    @Test(arguments: [
        "", "tcp:host=1.2.3.4,port=1", "unixexec:path=/bin/sh", "autolaunch:", "unix:path=/a;tcp:host=b",
        "unix:tmpdir=/tmp",
    ])
    func addressesThatRunProgramsOrLeaveTheHostAreRefused(_ text: String) {
        #expect(BusAddress(text) == nil)
    }

    @Test func anEmptyArrayHasItsType() {
        #expect([String]().dbusValue == .array(element: "s", []))
        #expect([[UInt8]]().dbusValue.signature == "aay")
        #expect([Variant]().dbusValue.signature == "av")
        #expect([UInt8]().dbusValue == .bytes([]))
        #expect([String](.bytes([])) == nil && [UInt8](.bytes([])) == [])
        #expect([String](.array(element: "s", [])) == [])
    }

    /// libdbus would abort the process.
    @Test(arguments: [
        [Value.string("a\0b")], [.signature("z")], [.signature("a")], [.array(element: "ss", [])],
        [.array(element: "s", [.uint32(1)])], [.structure([])], [.dictionary(key: "v", value: "s", [])],
        [.dictionary(key: "s", value: "s", [.init(.string("a"), .uint32(1))])], [nested(40)],
        [.array(element: "v", (0..<17).map { _ in .variant(.descriptor(UnixDescriptor(owning: dup(0)))) })],
    ])
    func whatCannotBeSentIsAnError(_ arguments: [Value]) async throws {
        try await withLamp { _, _, client async throws in
            let error = await #expect(throws: DBusError.self) { try await client.lamp("Switch", arguments) }
            #expect(error?.is(.invalidArguments) == true)
            // The connection lives on.
            #expect(try await client.lamp("Switch", [.boolean(true)]) == [.boolean(false)])
        }
    }

    @Test(arguments: [
        ("a b", "org.example.A", "x.y"), ("A", "noninterface", "x.y"), ("A", "a.b", "x y"), ("A\0", "a.b", "x.y"),
    ])
    func namesThatAreNoneAreAnError(_ member: String, _ interface: String, _ destination: String) async throws {
        try await withLamp { _, service, client async throws in
            let error = await #expect(throws: DBusError.self) {
                try await client.call(member, of: interface, at: path("/"), destination)
            }
            #expect(error?.is(.invalidArguments) == true)
            await service.emit(member, of: interface, at: path("/"), [])
            #expect(try await client.lamp("Switch", [.boolean(true)]) == [.boolean(false)])
        }
    }

    private static func nested(_ depth: Int) -> Value { depth == 0 ? .byte(1) : .structure([nested(depth - 1)]) }
}

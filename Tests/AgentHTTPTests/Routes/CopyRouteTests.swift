import AgentAPI
import AgentCore
import AgentTestSupport
import Foundation
import Glibc
import NIOCore
import NIOHTTP1
import Synchronization
import SystemPackage
import Tar
import Testing

@testable import AgentHTTP

/// Copies over HTTP: as existing clients speak of them, and as one archive.
@Suite struct CopyRouteTests {
    /// Runs `body` with an instance `a` whose files are in a directory.
    private static func with(
        state: InstanceState = .running,
        _ body: @escaping @Sendable (TestServer, FilePath) async throws -> Void
    ) async throws {
        try await TestServer.with { server async throws in
            try await Scratch.with { scratch in
                server.instances.add("a", state: state)
                server.instances.script.withLock { $0.files = scratch.path }
                try await body(server, scratch.path)
            }
        }
    }

    private static func fields(_ frame: Frame?) throws -> [String: JSONValue] {
        guard case .text(let text)? = frame else {
            throw ToolFailure(description: "no text: \(String(describing: frame))")
        }
        guard case .object(let fields) = try JSONDecoder().decode(JSONValue.self, from: Data(text.utf8)) else {
            throw ToolFailure(description: "no object: \(text)")
        }
        return fields
    }

    /// Frames to the close.
    private static func frames(_ inbound: inout WebSocketClient.Inbound) async throws -> [Frame] {
        var frames: [Frame] = []
        while let frame = try await inbound.next() {
            frames.append(Frame(frame))
            if case .close? = frames.last { break }
        }
        return frames
    }

    private static func contents(_ frames: ArraySlice<Frame>) -> [UInt8] {
        frames.flatMap { frame -> [UInt8] in
            guard case .binary(let bytes) = frame else { return [] }
            return bytes
        }
    }

    // MARK: stat

    @Test func statSaysWhatIsThere() async throws {
        try await Self.with { server, root in
            try Data("12345".utf8).write(to: URL(filePath: root.appending("file").string))
            #expect(symlink("file", root.appending("link").string) == 0)
            let file = try await server.request(.GET, "/instances/a/stat?path=/file").decode(PathInfoResponse.self)
            #expect(file.exists && file.isFile && !file.isDirectory && file.size == 5 && file.realPath == "/file")
            let link = try await server.request(.GET, "/instances/a/stat?path=/link").decode(PathInfoResponse.self)
            #expect(link.isSymbolicLink && !link.isFile && link.linkTarget == "file")
            let target = try await server.request(.GET, "/instances/a/stat?path=/link&follow_links=true")
                .decode(PathInfoResponse.self)
            #expect(target.isFile && !target.isSymbolicLink && target.realPath == "/file")
            let nothing = try await server.request(.GET, "/instances/a/stat?path=/none").decode(PathInfoResponse.self)
            #expect(!nothing.exists && nothing.error == nil)
            let below = try await server.request(.GET, "/instances/a/stat?path=/file/x").decode(PathInfoResponse.self)
            #expect(!below.exists && below.error?.contains("/file/x") == true)
        }
    }

    @Test func statRefusesWhatItCannotDo() async throws {
        try await Self.with { server, _ in
            #expect(try await server.request(.GET, "/instances/a/stat").status == 400)
            #expect(try await server.request(.GET, "/instances/a/stat?path=/&x=1").status == 400)
            #expect(try await server.request(.GET, "/instances/none/stat?path=/").status == 404)
            for (failure, status) in [
                (AgentError(.invalidState, "it is Stopped"), 409),
                (AgentError(.notSupported, code: "guest_too_old", "too old"), 501),
                (AgentError(.invalidArgument, code: "invalid_path", "must be absolute"), 400),
            ] {
                server.instances.script.withLock { $0.filesFailure = failure }
                let answer = try await server.request(.GET, "/instances/a/stat?path=x")
                #expect(answer.status == status)
                #expect(try answer.errorCode == failure.code)
            }
        }
    }

    @Test func cpIsAWebSocketOfARunningInstance() async throws {
        try await Self.with { server, _ in
            #expect(try await server.request(.GET, "/instances/a/cp").status == 426)
            #expect(try await server.request(.GET, "/instances/none/cp").status == 404)
            server.instances.add("b", state: .stopped)
            let stopped = try await server.request(.GET, "/instances/b/cp")
            #expect(stopped.status == 409)
            #expect(try stopped.errorCode == "invalid_state")
        }
    }

    // MARK: As existing clients speak

    @Test func aFileGoesInAsExistingClientsSendIt() async throws {
        try await Self.with { server, root in
            try await WebSocketClient.with(server, path: "cp") { client, inbound in
                try await client.send(
                    text: #"{"direction":"to","guest_path":"/new/dir/file","mode":416,"uid":12,"gid":34}"#
                )
                try await client.send(binary: Array("one ".utf8))
                try await client.send(binary: Array("two".utf8))
                try await client.send(text: #"{"type":"end"}"#)
                let frames = try await Self.frames(&inbound)
                let result = try Self.fields(frames.first)
                #expect(result["type"] == .string("result") && result["success"] == .boolean(true))
                #expect(result["bytes_written"] == .integer(7))
                #expect(frames.last == .close(1000) && frames.count == 2)
            }
            let path = root.pushing("new/dir/file").string
            #expect(FileManager.default.contents(atPath: path) == Data("one two".utf8))
            // Not stat(2): which module its structure is of depends on what was compiled before.
            let attributes = try FileManager.default.attributesOfItem(atPath: path)
            #expect(attributes[.posixPermissions] as? Int == 0o640)
            #expect(attributes[.ownerAccountID] as? Int == 12 && attributes[.groupOwnerAccountID] as? Int == 34)
        }
    }

    @Test func aDirectoryIsMadeAndOneThatIsThereStays() async throws {
        try await Self.with { server, root in
            #expect(
                mkdir(root.appending("there").string, 0o1777) == 0 && chmod(root.appending("there").string, 0o1777) == 0
            )
            for path in ["there", "new"] {
                try await WebSocketClient.with(server, path: "cp") { client, inbound in
                    try await client.send(
                        text: #"{"direction":"to","guest_path":"/\#(path)","is_dir":true,"mode":493}"#
                    )
                    try await client.send(text: #"{"type":"end"}"#)
                    #expect(try Self.fields(try await Self.frames(&inbound).first)["success"] == .boolean(true))
                }
            }
            for (name, mode) in [("there", 0o1777), ("new", 0o755)] {
                let attributes = try FileManager.default.attributesOfItem(atPath: root.appending(name).string)
                #expect(attributes[.posixPermissions] as? Int == mode, "\(name)")
            }
        }
    }

    @Test func whatCannotGoInIsSaidOnceTheClientListens() async throws {
        try await Self.with { server, root in
            #expect(mkdir(root.appending("dir").string, 0o755) == 0)
            try await WebSocketClient.with(server, path: "cp") { client, inbound in
                try await client.send(text: #"{"direction":"to","guest_path":"/dir"}"#)
                // These clients send everything before they read anything.
                for _ in 0..<100 { try await client.send(binary: [UInt8](repeating: 0, count: 1 << 16)) }
                try await client.send(text: #"{"type":"end"}"#)
                let error = try Self.fields(try await Self.frames(&inbound).first)
                #expect(error["type"] == .string("error") && error["code"] == .string("is_a_directory"))
                guard case .string(let message)? = error["message"] else {
                    Issue.record("no message")
                    return
                }
                #expect(message.contains("/dir"))
            }
            // With the name of the source there is a place for it.
            try await WebSocketClient.with(server, path: "cp") { client, inbound in
                try await client.send(text: #"{"direction":"to","guest_path":"/dir","src_basename":"f"}"#)
                try await client.send(binary: [7])
                try await client.send(text: #"{"type":"end"}"#)
                #expect(try Self.fields(try await Self.frames(&inbound).first)["success"] == .boolean(true))
            }
            #expect(FileManager.default.contents(atPath: root.pushing("dir/f").string) == Data([7]))
        }
    }

    @Test func aTreeComesOutAsHeadersAndContents() async throws {
        try await Self.with { server, root in
            #expect(mkdir(root.appending("d").string, 0o750) == 0)
            let large = [UInt8](repeating: 9, count: 200_000)
            try Data(large).write(to: URL(filePath: root.pushing("d/file").string))
            #expect(link(root.pushing("d/file").string, root.pushing("d/same").string) == 0)
            #expect(symlink("file", root.pushing("d/link").string) == 0)
            try await WebSocketClient.with(server, path: "cp") { client, inbound in
                try await client.send(text: #"{"direction":"from","guest_path":"/d"}"#)
                let frames = try await Self.frames(&inbound)
                var found: [String: (fields: [String: JSONValue], contents: [UInt8])] = [:]
                var path = ""
                var finals: [JSONValue] = []
                for frame in frames.dropLast() {
                    if case .binary(let bytes) = frame {
                        #expect(bytes.count <= 64 << 10)
                        found[path]?.contents += bytes
                        continue
                    }
                    let fields = try Self.fields(frame)
                    if fields["type"] == .string("header"), case .string(let name)? = fields["path"] {
                        path = name
                        found[name] = (fields, [])
                    } else {
                        #expect(fields["type"] == .string("end"))
                        finals.append(fields["final"] ?? .null)
                    }
                }
                #expect(Set(found.keys) == ["d", "d/file", "d/same", "d/link"])
                #expect(found["d"]?.fields["is_dir"] == .boolean(true) && found["d"]?.fields["mode"] == .integer(0o750))
                #expect(found["d/file"]?.contents == large && found["d/same"]?.contents == large)
                #expect(found["d/file"]?.fields["size"] == .integer(large.count))
                #expect(found["d/file"]?.fields["is_symlink"] == .boolean(false))
                #expect(found["d/link"]?.fields["link_target"] == .string("file"))
                #expect(found["d/link"]?.fields["is_symlink"] == .boolean(true))
                #expect(finals == [.boolean(false), .boolean(false), .boolean(false), .boolean(true)])
            }
        }
    }

    @Test func whatCannotComeOutIsAnErrorWithItsPath() async throws {
        try await Self.with { server, _ in
            for subprotocol in [nil, CopyProtocol.name] {
                try await WebSocketClient.with(server, path: "cp", subprotocol: subprotocol) { client, inbound in
                    try await client.send(text: #"{"direction":"from","guest_path":"/none"}"#)
                    let frames = try await Self.frames(&inbound)
                    let error = try Self.fields(frames.first)
                    #expect(error["type"] == .string("error") && error["code"] == .string("path_not_found"))
                    guard case .string(let message)? = error["message"] else {
                        Issue.record("no message")
                        return
                    }
                    #expect(message.contains("/none") && error["path"] == .string("/none"))
                    #expect(frames.last == .close(1000))
                }
            }
        }
    }

    @Test func statIsAlsoADirection() async throws {
        try await Self.with { server, _ in
            try await WebSocketClient.with(server, path: "cp") { client, inbound in
                try await client.send(text: #"{"direction":"stat","guest_path":"/"}"#)
                let fields = try Self.fields(try await Self.frames(&inbound).first)
                #expect(fields["type"] == .string("stat") && fields["is_dir"] == .boolean(true))
            }
        }
    }

    @Test(arguments: [
        #"{"direction":"up","guest_path":"/"}"#, #"{"direction":"to"}"#, #"{"guest_path":"/"}"#, "nonsense",
        #"{"direction":"to","guest_path":"/x","colour":"red"}"#, #"{"direction":"to","guest_path":"/x","uid":-1}"#,
        #"{"direction":"to","guest_path":"/x","mode":70000}"#,
        #"{"direction":"to","guest_path":"/x","src_basename":"../y"}"#,
    ])
    func aFirstFrameThatIsNoRequestIsRefused(text: String) async throws {
        try await Self.with { server, root in
            try await WebSocketClient.with(server, path: "cp") { client, inbound in
                try await client.send(text: text)
                #expect(try Self.fields(try await Self.frames(&inbound).first)["type"] == .string("error"))
            }
            #expect(try FileManager.default.contentsOfDirectory(atPath: root.string) == [])
        }
    }

    // MARK: As one archive

    @Test func anArchiveGoesInAndComesOut() async throws {
        try await Self.with { server, root in
            let archive = TarMember.file("f", Array("contents".utf8)) + TarMember.end
            try await WebSocketClient.with(server, path: "cp", subprotocol: CopyProtocol.name) { client, inbound in
                try await client.send(text: #"{"direction":"to","guest_path":"/"}"#)
                // However it is cut.
                for start in stride(from: 0, to: archive.count, by: 100) {
                    try await client.send(binary: Array(archive[start..<min(start + 100, archive.count)]))
                }
                try await client.send(text: #"{"type":"end"}"#)
                let result = try Self.fields(try await Self.frames(&inbound).first)
                #expect(result["success"] == .boolean(true) && result["bytes_written"] == .integer(8))
            }
            #expect(FileManager.default.contents(atPath: root.appending("f").string) == Data("contents".utf8))
            try await WebSocketClient.with(server, path: "cp", subprotocol: CopyProtocol.name) { client, inbound in
                try await client.send(text: #"{"direction":"from","guest_path":"/f","name":"other"}"#)
                let frames = try await Self.frames(&inbound)
                let bytes = Self.contents(frames[...])
                #expect(String(decoding: bytes, as: UTF8.self).contains("contents"))
                #expect(bytes.count % 512 == 0 && bytes.suffix(1024).allSatisfy { $0 == 0 })
                #expect(try Self.fields(frames.dropLast().last)["final"] == .boolean(true))
            }
        }
    }

    @Test func anArchiveThatIsRefusedIsRefusedAtOnce() async throws {
        try await Self.with { server, root in
            try await WebSocketClient.with(server, path: "cp", subprotocol: CopyProtocol.name) { client, inbound in
                try await client.send(text: #"{"direction":"to","guest_path":"/"}"#)
                try await client.send(binary: TarMember.file("../escaped", [1]) + TarMember.end)
                try await client.send(text: #"{"type":"end"}"#)
                let error = try Self.fields(try await Self.frames(&inbound).first)
                #expect(error["type"] == .string("error") && error["code"] == .string("invalid_archive"))
            }
            #expect(try FileManager.default.contentsOfDirectory(atPath: root.string) == [])
        }
    }

    @Test(arguments: [nil, CopyProtocol.name])
    func aClientThatVanishesLeavesNoHalf(subprotocol: String?) async throws {
        try await Self.with { server, root in
            try await WebSocketClient.with(server, path: "cp", subprotocol: subprotocol) { client, inbound in
                let path = subprotocol == nil ? "/half" : "/"
                try await client.send(text: #"{"direction":"to","guest_path":"\#(path)"}"#)
                if subprotocol != nil { try await client.send(binary: TarMember(file: "half", size: 1 << 30).header) }
                try await client.send(binary: [UInt8](repeating: 1, count: 1 << 20))
                while try FileManager.default.contentsOfDirectory(atPath: root.string).isEmpty { await Task.yield() }
                try await client.channel.close()
            }
            for _ in 0..<600 {
                if try FileManager.default.contentsOfDirectory(atPath: root.string).isEmpty { return }
                try await Task.sleep(for: .milliseconds(10))
            }
            Issue.record("half a file is left")
        }
    }
}

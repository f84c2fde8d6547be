import AgentAPI
import AgentCore
import AgentTestSupport
import Foundation
import NIOCore
import NIOHTTP1
import Synchronization
import Testing

@testable import AgentHTTP

@Suite struct VolumeRouteTests {
    private static let boundary = "----a-boundary"
    private static let form = ("Content-Type", "multipart/form-data; boundary=\"\(boundary)\"")

    private static func body(_ parts: [(String, String)], ends: Bool = true) -> String {
        parts.map { name, contents in
            "--\(boundary)\r\nContent-Disposition: form-data; name=\"\(name)\"; filename=\"x\"\r\n\r\n\(contents)\r\n"
        }.joined() + (ends ? "--\(boundary)--\r\n" : "")
    }

    @Test func volumesComeGrowAndGo() async throws {
        try await TestServer.with { server in
            let made = try await server.request(
                .POST,
                "/volumes",
                body: #"{"name":"data","size_gb":2,"id":"my-id","tags":{"a":"b"}}"#
            )
            #expect(made.status == 201)
            let volume = try made.decode(VolumeResponse.self)
            #expect(volume.id == "my-id" && volume.size == 2 && volume.tags == ["a": "b"] && volume.attachments == nil)
            #expect(try await server.request(.GET, "/volumes").decode([VolumeResponse].self) == [volume])
            #expect(try await server.request(.GET, "/volumes?name=other").decode([VolumeResponse].self) == [])
            #expect(try await server.request(.GET, "/volumes/data").decode(VolumeResponse.self) == volume)
            let grown = try await server.request(.PATCH, "/volumes/data", body: #"{"size_gb":3}"#)
            #expect(try grown.decode(VolumeResponse.self).size == 3)
            #expect(try await server.request(.DELETE, "/volumes/data").status == 204)
            #expect(try await server.request(.GET, "/volumes/data").status == 404)
        }
    }

    @Test func whoHasItIsSaid() async throws {
        try await TestServer.with { server in
            let instance = Fixtures.instance("web")
            var volume = Volume(
                id: .random(),
                name: try VolumeName("data"),
                size: .mebibytes(1500),
                tags: [:],
                createdAt: Fixtures.time
            )
            volume.attachments = [
                VolumeAttachment(
                    instance: instance.id,
                    instanceName: instance.name,
                    path: try MountPath("/data"),
                    readOnly: true
                )
            ]
            let there = volume
            server.volumes.script.withLock { script in
                script.volumes.append(there)
                script.failure = AgentError(.invalidState, code: "conflict", "it is attached to instance 'web'")
            }
            let found = try await server.request(.GET, "/volumes/data").decode(VolumeResponse.self)
            #expect(found.size == 2, "a part of a GiB counts")
            #expect(
                found.attachments == [
                    .init(instanceID: instance.id.rawValue, instanceName: "web", mountPath: "/data", readonly: true)
                ]
            )
            let refused = try await server.request(.DELETE, "/volumes/data")
            #expect(refused.status == 409)
            #expect(try refused.errorCode == "conflict")
        }
    }

    @Test(
        arguments: [
            (#"{"size_gb":1}"#, "missing_field"), (#"{"name":"data"}"#, "missing_field"),
            (#"{"name":"data","size_gb":0}"#, "invalid_size"), (#"{"name":"data","size_gb":"1"}"#, "invalid_field"),
            (#"{"name":"a/b","size_gb":1}"#, "invalid_name"),
            (#"{"name":"data","size_gb":1,"id":"../x"}"#, "invalid_id"),
            (#"{"name":"data","size_gb":1,"more":1}"#, "unknown_field"), ("[]", "invalid_request"),
        ]
    )
    func whatIsWrongIsNamed(_ body: String, _ code: String) async throws {
        try await TestServer.with { server in
            let answer = try await server.request(.POST, "/volumes", body: body)
            #expect(answer.status == 400)
            #expect(try answer.errorCode == code)
        }
    }

    @Test func archivesComeAsABodyOrInAFormInAnyOrder() async throws {
        try await TestServer.with { server in
            // What looks like a delimiter, and is none.
            let archive =
                "begin\r\n--\(Self.boundary.dropLast())\r\n\r\n--\r\nend" + String(repeating: "x", count: 300_000)
            let plain = try await server.request(
                .POST,
                "/volumes/from-archive?name=a&size_gb=1&id=first&tags[k]=v",
                body: archive,
                headers: [("Content-Type", "application/gzip")]
            )
            #expect(plain.status == 201)
            #expect(try plain.decode(VolumeResponse.self).tags == ["k": "v"])
            for (number, parts) in [
                [("name", "b"), ("size_gb", "1"), ("content", archive)],
                [("content", archive), ("size_gb", "1"), ("id", "third"), ("name", "c"), ("tags[k]", "v")],
            ].enumerated() {
                let answer = try await server.request(
                    .POST,
                    "/volumes",
                    body: Self.body(parts),
                    headers: [Self.form]
                )
                #expect(answer.status == 201, "form \(number): \(String(decoding: answer.body, as: UTF8.self))")
            }
            let script = server.volumes.script.withLock { ($0.requests, $0.archives) }
            #expect(script.0.map(\.name.rawValue) == ["a", "b", "c"])
            #expect(script.0.map { $0.id?.rawValue } == ["first", nil, "third"])
            #expect(script.1.allSatisfy { $0.elementsEqual(archive.utf8) })
            #expect(try server.volumes.files == [])
        }
    }

    @Test(
        arguments: [
            ([("name", "a"), ("size_gb", "1")], true, "missing_file"),
            ([("size_gb", "1"), ("content", "x")], true, "missing_field"),
            ([("name", "a"), ("size_gb", "much"), ("content", "x")], true, "invalid_field"),
            ([("name", "a"), ("name", "b")], true, "invalid_field"),
            ([("mood", "fine"), ("content", "x")], true, "invalid_field"),
            ([("name", String(repeating: "a", count: 5000))], true, "invalid_field"),
            ([("name", "a"), ("size_gb", "1"), ("content", "x")], false, "invalid_form"),
        ] as [([(String, String)], Bool, String)]
    )
    func brokenFormsLeaveNothing(_ parts: [(String, String)], _ ends: Bool, _ code: String) async throws {
        try await TestServer.with { server in
            let answer = try await server.request(
                .POST,
                "/volumes",
                body: Self.body(parts, ends: ends),
                headers: [Self.form]
            )
            #expect(answer.status == 400)
            #expect(try answer.errorCode == code)
            #expect(try server.volumes.files == [])
            #expect(server.volumes.list(VolumeFilter()).isEmpty)
        }
    }

    @Test func whatCannotBeIsSaidBeforeTheArchiveIsReceived() async throws {
        try await TestServer.with { server in
            server.volumes.script.withLock { $0.failure = AgentError(.quotaExceeded, "the volumes have it all") }
            for (path, body, type) in [
                ("/volumes/from-archive?name=a&size_gb=1", "x", ("Content-Type", "application/gzip")),
                ("/volumes", Self.body([("name", "a"), ("size_gb", "1"), ("content", "x")]), Self.form),
            ] {
                let answer = try await server.request(.POST, path, body: body, headers: [type])
                #expect(answer.status == 409)
            }
            #expect(server.volumes.script.withLock { $0.archives.isEmpty })
            #expect(try server.volumes.files == [])
            let empty = try await server.request(.POST, "/volumes/from-archive?name=a")
            #expect(try empty.errorCode == "missing_field")
            let text = try await server.request(.POST, "/volumes", body: "x", headers: [("Content-Type", "text/plain")])
            #expect(text.status == 415)
        }
    }

    @Test func tokensNeedTheScopeOfVolumes() async throws {
        try await TestServer.with { server in
            let answer = try await server.request(.GET, "/volumes", token: .some(nil))
            #expect(answer.status == 401)
        }
    }

    // MARK: Instances

    @Test func anInstanceIsAskedForWithItsVolumes() async throws {
        try await TestServer.with { server in
            let body = #"""
                {"name":"web","image":"alpine","volumes":[{"volume_id":"data","mount_path":"/data/"},
                {"volume_id":"seed","mount_path":"/seed","readonly":true,"overlay":true,"overlay_size":"2GB"}]}
                """#
            #expect(try await server.request(.POST, "/instances", body: body).status == 201)
            let asked = try #require(server.instances.script.withLock { $0.created.first })
            #expect(
                asked.volumes == [
                    VolumeMountRequest(volume: "data", path: try MountPath("/data")),
                    VolumeMountRequest(
                        volume: "seed",
                        path: try MountPath("/seed"),
                        readOnly: true,
                        overlaySize: .gibibytes(2)
                    ),
                ]
            )
        }
    }

    @Test(
        arguments: [
            (#"{"volume_id":"data","mount_path":"/proc/x"}"#, "invalid_mount_path"),
            (#"{"volume_id":"data"}"#, "missing_field"),
            (#"{"volume_id":"data","mount_path":"/d","overlay":true,"overlay_size":"1GB"}"#, "invalid_volume_overlay"),
            (#"{"volume_id":"data","mount_path":"/d","readonly":true,"overlay":true}"#, "invalid_volume_overlay"),
            (#"{"volume_id":"data","mount_path":"/d","overlay_size":"1GB"}"#, "invalid_volume_overlay"),
        ]
    )
    func mountsThatAreWrongAreNamed(_ mount: String, _ code: String) async throws {
        try await TestServer.with { server in
            let body = #"{"name":"web","image":"alpine","volumes":[\#(mount)]}"#
            let answer = try await server.request(.POST, "/instances", body: body)
            #expect(answer.status == 400)
            #expect(try answer.errorCode == code)
        }
    }

    @Test func volumesAreAttachedAndDetached() async throws {
        try await TestServer.with { server in
            server.instances.add("web")
            let path = "/instances/web/volumes/data"
            let attached = try await server.request(.POST, path, body: #"{"mount_path":"/data","readonly":true}"#)
            #expect(attached.status == 200)
            #expect(
                try attached.decode(InstanceResponse.self).volumes == [
                    VolumeMountBody(volumeID: "data", mountPath: "/data", readonly: true)
                ]
            )
            let detached = try await server.request(.DELETE, path)
            #expect(detached.status == 200)
            #expect(try detached.decode(InstanceResponse.self).volumes == nil)
            let wrong = try await server.request(.POST, path, body: #"{"mount_path":"data"}"#)
            #expect(try wrong.errorCode == "invalid_mount_path")
        }
    }
}

@Suite struct MultipartParserTests {
    @Test(arguments: 1...40) func piecesOfAnySizeGiveTheSame(_ size: Int) throws {
        let text =
            "preamble\r\n--b\r\nContent-Type: text/plain\r\ncontent-disposition: form-data; name=first\r\n\r\n"
            + "one\r\n-b\r\n--\r\nb\r\n--b\r\nContent-Disposition: form-data; name=\"second\"\r\n\r\n"
            + "\r\n--b--\r\nepilogue"
        var parser = try MultipartParser(contentType: "multipart/form-data; charset=x; Boundary=b")
        var fields: [(String, String)] = []
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            for event in try parser.take(ByteBuffer(bytes: rest.prefix(size))) {
                switch event {
                case .field(let name): fields.append((name, ""))
                case .contents(let bytes): fields[fields.count - 1].1 += String(buffer: bytes)
                }
            }
            rest = rest.dropFirst(size)
        }
        #expect(parser.isAtEnd)
        #expect(fields.map(\.0) == ["first", "second"])
        #expect(fields.map(\.1) == ["one\r\n-b\r\n--\r\nb", ""])
    }

    @Test(arguments: [
        "multipart/form-data", "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\(String(repeating: "x", count: 71))",
    ])
    func aFormNeedsABoundary(_ type: String) {
        #expect(throws: AgentError.self) { try MultipartParser(contentType: type) }
    }

    @Test func randomBytesDoNotHurt() throws {
        var generator = SystemRandomNumberGenerator()
        let alphabet = Array("\r\n-b:;=name\"Content-Disposition: form-data".utf8)
        for _ in 0..<2_000 {
            var parser = try MultipartParser(contentType: "multipart/form-data; boundary=b")
            let bytes = (0..<Int.random(in: 0..<400, using: &generator)).map { _ in
                alphabet.randomElement(using: &generator) ?? 0
            }
            do throws(AgentError) {
                _ = try parser.take(ByteBuffer(bytes: Array("--b\r\n".utf8) + bytes))
            } catch {
                #expect(error.code == "invalid_form")
            }
        }
    }
}

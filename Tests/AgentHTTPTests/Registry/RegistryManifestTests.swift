import AgentCore
import AgentTestSupport
import Foundation
import NIOHTTP1
import Testing

@testable import AgentHTTP

/// Manifests, tags, and the images that come of them.
@Suite(.serialized) struct RegistryManifestTests {
    @Test func aPushedImageIsAnImage() async throws {
        try await RegistryServer.with { registry async throws in
            let image = try RegistryServer.image("one")
            let answer = try await registry.push(image)
            #expect(answer.status == 201)
            #expect(answer.location == "/v2/team/app/manifests/\(image.digest)")
            #expect(answer.headers.first(name: "Docker-Content-Digest") == "\(image.digest)")
            let ready = try await registry.backend.images.wait(try ImageReference("team/app:1"))
            #expect(ready.status == .ready && ready.digest == image.digest, "\(ready)")
            #expect(ready.configuration?.command == ["/bin/app"])
            for reference in ["1", "\(image.digest)"] {
                let manifest = try await registry.call(.GET, "/v2/team/app/manifests/\(reference)")
                #expect(manifest.status == 200 && manifest.body == image.manifest)
                #expect(manifest.headers.first(name: "Content-Type") == PushedImage.manifestType)
                #expect(manifest.headers.first(name: "Docker-Content-Digest") == "\(image.digest)")
                let head = try await registry.call(.HEAD, "/v2/team/app/manifests/\(reference)")
                #expect(head.status == 200 && head.body.isEmpty)
                #expect(head.headers.first(name: "Content-Length") == "\(image.manifest.count)")
            }
        }
    }

    @Test func theNameIsWhatOneTypes() async throws {
        try await RegistryServer.with { registry async throws in
            for (path, name) in [
                ("app", "docker.io/library/app:1"), ("docker.io/library/other", "docker.io/library/other:1"),
                ("team/app", "docker.io/team/app:1"), ("ghcr.io/team/app", "ghcr.io/team/app:1"),
            ] {
                #expect(try await registry.push(try RegistryServer.image("x"), to: path).status == 201)
                #expect(registry.backend.images.list().contains { $0.name == name }, "\(name)")
            }
        }
    }

    @Test func aSecondPushAndASecondTagNeedNoLayers() async throws {
        try await RegistryServer.with(limits: UploadLimits(retention: .zero)) { registry async throws in
            let image = try RegistryServer.image("one")
            #expect(try await registry.push(image).status == 201)
            _ = try await registry.backend.images.wait(try ImageReference("team/app:1"))
            let layer = PushedImage.digest(image.layers[0])
            #expect(try await registry.call(.HEAD, "/v2/team/app/blobs/\(layer)").status == 404, "it was converted")
            let config = PushedImage.digest(image.configuration)
            #expect(try await registry.call(.HEAD, "/v2/team/app/blobs/\(config)").status == 200)
            for tag in ["1", "2"] {
                let answer = try await registry.call(.PUT, "/v2/team/app/manifests/\(tag)", image.manifest)
                #expect(answer.status == 201)
            }
            let names = registry.backend.images.list()
            #expect(names.count == 2 && names.allSatisfy { $0.status == .ready && $0.digest == image.digest })
        }
    }

    @Test func sharedLayersAreNotPushedTwice() async throws {
        try await RegistryServer.with { registry async throws in
            let first = try RegistryServer.image("base")
            #expect(try await registry.push(first).status == 201)
            _ = try await registry.backend.images.wait(try ImageReference("team/app:1"))
            let layer = PushedImage.digest(first.layers[0])
            #expect(try await registry.call(.HEAD, "/v2/other/blobs/\(layer)").status == 200, "it is kept for a while")
            var tar = TarBuilder()
            tar.file("more", Array("more".utf8))
            let second = try PushedImage(layers: first.layers + [tar.finished()])
            try await registry.push(second.layers[1])
            try await registry.push(second.configuration)
            #expect(try await registry.call(.PUT, "/v2/other/manifests/1", second.manifest).status == 201)
            #expect(try await registry.backend.images.wait(try ImageReference("other:1")).status == .ready)
        }
    }

    @Test func manyPushTheSameImageAtOnce() async throws {
        try await RegistryServer.with { registry async throws in
            let image = try RegistryServer.image("popular")
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<6 {
                    group.addTask { () async throws in
                        #expect(try await registry.push(image, as: "\(number % 3)").status == 201)
                    }
                }
                try await group.waitForAll()
            }
            for number in 0..<3 {
                #expect(
                    try await registry.backend.images.wait(try ImageReference("team/app:\(number)")).status == .ready
                )
            }
        }
    }

    @Test func anIndexIsKeptAsItIsAndItsPartForThisHostIsTheImage() async throws {
        try await RegistryServer.with { registry async throws in
            let foreign = Platform(os: "linux", architecture: "s390x")
            let own = try RegistryServer.image("own")
            let other = try PushedImage(layers: own.layers, platform: foreign)
            let index = try PushedImage.index([(other, foreign), (own, .host)])
            let early = try await registry.call(.PUT, "/v2/app/manifests/1", index)
            #expect(early.status == 404)
            #expect(try early.code == "MANIFEST_BLOB_UNKNOWN")
            #expect(try await registry.push(own, to: "app", as: "\(own.digest)").status == 201)
            #expect(try await registry.push(other, to: "app", as: "\(other.digest)").status == 201)
            #expect(registry.backend.images.list() == [], "parts are no images")
            let answer = try await registry.call(
                .PUT,
                "/v2/app/manifests/1",
                index,
                headers: [("Content-Type", PushedImage.indexType)]
            )
            #expect(answer.status == 201)
            let ready = try await registry.backend.images.wait(try ImageReference("app:1"))
            #expect(ready.status == .ready && ready.digest == own.digest)
            let served = try await registry.call(.GET, "/v2/app/manifests/1")
            #expect(served.body == index)
            #expect(served.headers.first(name: "Content-Type") == PushedImage.indexType)
        }
    }

    @Test func whatIsNoImageForThisHostIsRefused() async throws {
        try await RegistryServer.with { registry async throws in
            let foreign = try PushedImage(
                layers: [[UInt8](repeating: 0, count: 1024)],
                platform: Platform(os: "linux", architecture: "s390x")
            )
            var artifact = try RegistryServer.image("x")
            artifact.configuration = Array("{}".utf8)
            artifact.manifest = Array(
                String(decoding: artifact.manifest, as: UTF8.self).replacing(
                    #/"config":\{[^}]*\}/#,
                    with: #""config":{"digest":"\#(PushedImage.digest(artifact.configuration))","size":2}"#
                ).utf8
            )
            for image in [foreign, artifact] {
                let answer = try await registry.push(image)
                #expect(answer.status == 400)
                #expect(try answer.code == "MANIFEST_INVALID")
            }
            #expect(registry.backend.images.list() == [])
        }
    }

    @Test func garbageIsNoManifest() async throws {
        try await RegistryServer.with { registry async throws in
            func refused(_ bytes: [UInt8], _ code: String, _ status: Int, type: String? = nil) async throws {
                let headers = type.map { [("Content-Type", $0)] } ?? []
                let answer = try await registry.call(.PUT, "/v2/app/manifests/1", bytes, headers: headers)
                #expect(answer.status == status, "\(String(decoding: bytes.prefix(50), as: UTF8.self))")
                #expect(try answer.code == code)
            }
            for text in [
                "", "x", "[]", "{}", #"{"schemaVersion":1}"#, #"{"layers":{}}"#, #"{"manifests":[]}"#,
                String(repeating: "[", count: 100_000),
            ] { try await refused(Array(text.utf8), "MANIFEST_INVALID", 400) }
            let image = try RegistryServer.image("x")
            try await refused(image.manifest, "MANIFEST_BLOB_UNKNOWN", 404)
            try await refused(image.manifest, "MANIFEST_INVALID", 400, type: PushedImage.indexType)
            try await refused([UInt8](repeating: 32, count: 4 << 20 + 1), "SIZE_INVALID", 413)
            for blob in image.blobs { try await registry.push(blob) }
            let lies = String(decoding: image.manifest, as: UTF8.self).replacing("\"size\":", with: "\"size\":1")
            try await refused(Array(lies.utf8), "MANIFEST_INVALID", 400)
            let digest = try await registry.call(.PUT, "/v2/app/manifests/\(Fixtures.digest())", image.manifest)
            #expect(digest.status == 400)
            #expect(try digest.code == "DIGEST_INVALID")
            let tag = try await registry.call(.PUT, "/v2/app/manifests/-x", image.manifest)
            #expect(tag.status == 400)
            #expect(try tag.code == "MANIFEST_INVALID")
        }
    }

    @Test func tagsAreListedInPages() async throws {
        try await RegistryServer.with { registry async throws in
            let image = try RegistryServer.image("x")
            for tag in ["b", "a", "c"] { #expect(try await registry.push(image, as: tag).status == 201) }
            struct Tags: Decodable, Equatable {
                var name: String
                var tags: [String]
            }
            for (query, tags, next) in [
                ("", ["a", "b", "c"], nil), ("?n=2", ["a", "b"], "</v2/team/app/tags/list?n=2&last=b>; rel=\"next\""),
                ("?n=2&last=b", ["c"], nil), ("?last=a", ["b", "c"], nil), ("?n=0", [], nil),
            ] as [(String, [String], String?)] {
                let answer = try await registry.call(.GET, "/v2/team/app/tags/list\(query)")
                #expect(answer.status == 200)
                #expect(
                    try JSONDecoder().decode(Tags.self, from: Data(answer.body)) == Tags(name: "team/app", tags: tags)
                )
                #expect(answer.headers.first(name: "Link") == next)
            }
            for (path, status, code) in [
                ("/v2/nothing/tags/list", 404, "NAME_UNKNOWN"), ("/v2/team/app/tags/list?n=-1", 400, "UNSUPPORTED"),
            ] {
                let answer = try await registry.call(.GET, path)
                #expect(answer.status == status)
                #expect(try answer.code == code)
            }
        }
    }

    @Test(arguments: [true, false]) func manifestsAreDeleted(byDigest: Bool) async throws {
        try await RegistryServer.with { registry async throws in
            let image = try RegistryServer.image("x")
            for tag in ["1", "2"] { #expect(try await registry.push(image, as: tag).status == 201) }
            let path = "/v2/team/app/manifests/\(byDigest ? "\(image.digest)" : "1")"
            #expect(try await registry.call(.DELETE, path).status == 202)
            let left = registry.backend.images.list().map(\.name)
            #expect(left == (byDigest ? [] : ["docker.io/team/app:2"]))
            let again = try await registry.call(.DELETE, path)
            #expect(again.status == 404)
            #expect(try again.code == "MANIFEST_UNKNOWN")
        }
    }
}

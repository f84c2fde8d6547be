import AgentCore
import AgentTestSupport
import Foundation
import Glibc
import SystemPackage
import Tar
import Testing

@testable import StoragePlugin

/// Saved images, as other tools and this one read them.
@Suite("saved images")
struct ArchiveWriterTests {
    private let name = "registry.test:5000/team/app:1"

    private func save(_ digest: Digest, _ storage: Storage, to path: FilePath) async throws {
        let archive = try await OCIArchiveWriter(store: storage.store).archive(digest, as: try ImageReference(name))
        let file = try FileDescriptor.open(
            path,
            .writeOnly,
            options: [.create, .truncate],
            permissions: .ownerReadWrite
        )
        var size = 0
        for try await piece in archive.pieces {
            try file.writeAll(piece)
            size += piece.count
        }
        try file.close()
        #expect(size == archive.size)
    }

    @Test(arguments: [nil, 1, 2, 3] as [UInt64?], RootDiskCompression.allCases)
    func skopeoAndUmociSeeTheTreeThatTheDiskHas(fixed: UInt64?, compression: RootDiskCompression) async throws {
        let seed = fixed ?? UInt64.random(in: 0...UInt64.max)
        print("saved images: seed \(seed)")
        try await Scratch.with { scratch in
            var generator = LayerGenerator(seed: seed)
            let layout = try await Layout.make((0..<3).map { _ in generator.layer() }, in: scratch)
            let storage = try scratch.storage(compression: compression)
            let image = try await storage.reader.read(
                try await Layout.archive(layout, in: scratch),
                platform: .host
            ) { _ in }
            let disk = try await storage.builder.build(image) { _ in }
            let saved = scratch.appending("saved.tar")
            try await save(image.digest, storage, to: saved)

            let copy = scratch.appending("copy")
            try await tool("skopeo", ["copy", "--insecure-policy", "oci-archive:\(saved)", "oci:\(copy):image"])
            let theirs = try TreeSnapshot(of: try await Layout.unpack(copy, in: scratch))
            let ours = try await withMounted(disk.path, in: scratch) { try TreeSnapshot(of: $0) }
            let differences = ours.differences(from: theirs)
            #expect(differences.isEmpty, "seed \(seed): \(differences.prefix(10).joined(separator: "\n"))")
            #expect(ours.lines.count > 20)

            // Loaded elsewhere it has the same name and tree, and saved again it is the same to the last bit.
            let elsewhere = try scratch.storage(data: scratch.appending("elsewhere"))
            let loaded = try await elsewhere.reader.read(saved, platform: .host) { _ in }
            #expect(loaded.name?.description == name)
            #expect(loaded.configuration == image.configuration)
            let again = try await elsewhere.builder.build(loaded) { _ in }
            let differing = try await withMounted(again.path, in: scratch) { try TreeSnapshot(of: $0) }
                .differences(from: ours)
            #expect(differing.isEmpty, "seed \(seed): \(differing.prefix(10).joined(separator: "\n"))")
            let second = scratch.appending("second.tar")
            try await save(loaded.digest, elsewhere, to: second)
            try await tool("cmp", [saved.string, second.string])
        }
    }

    @Test func whatAnImageSaysAboutRunningItIsKept() async throws {
        try await Scratch.with { scratch in
            var tar = TarBuilder()
            tar.file("x")
            let layout = try await Layout.make([tar.finished()], in: scratch)
            try await tool(
                "umoci",
                [
                    "config", "--image", "\(layout):image", "--config.entrypoint", "/bin/x", "--config.cmd", "a",
                    "--config.env", "A=b", "--config.user", "1:2", "--config.workingdir", "/w", "--config.label", "l=m",
                    "--config.exposedports", "80/tcp", "--config.volume", "/v", "--config.stopsignal", "SIGINT",
                    "--author", "Somebody",
                ]
            )
            let storage = try scratch.storage()
            let image = try await storage.reader.read(
                try await Layout.archive(layout, in: scratch),
                platform: .host
            ) { _ in }
            _ = try await storage.builder.build(image) { _ in }
            let saved = scratch.appending("saved.tar")
            try await save(image.digest, storage, to: saved)
            let loaded = try await storage.reader.read(saved, platform: .host) { _ in }
            #expect(loaded.configuration == image.configuration)
            #expect(loaded.configuration.entrypoint == ["/bin/x"] && loaded.configuration.stopSignal == "SIGINT")
            #expect(loaded.digest != image.digest && loaded.layers.count == 1)
            let said = try await tool("skopeo", ["inspect", "--config", "oci-archive:\(saved)"])
            #expect(said.contains(#""author": "Somebody""#), "what we know nothing of stays: \(said)")
            // As `docker load` of before version 25 reads it.
            let listed = try await tool("skopeo", ["inspect", "--config", "docker-archive:\(saved)"])
            #expect(listed.contains("/bin/x"))
        }
    }

    @Test func longNamesHugeOwnersAndOldTimesSurvive() async throws {
        try await Scratch.with { scratch in
            var tar = TarBuilder()
            let long = String(repeating: "d", count: 120)
            tar.directory("\(long)/", modified: 1)
            for (name, modified, nanoseconds) in [("\(long)/file", 7, 250_000_000), ("new", 8_589_934_592, 0)] {
                var member = TarBuilder.Member(name)
                (member.modified, member.nanoseconds) = (min(modified, 0o77777777777), nanoseconds)
                (member.owner, member.group) = (4_000_000_000, 3_000_000)
                member.attributes = [
                    "user.a": [0, 1, 10, 255], "security.capability": [UInt8](repeating: 1, count: 20),
                ]
                member.contents = Array("x".utf8)
                tar.append(member)
            }
            tar.link("hard", to: "\(long)/file", type: "1")
            tar.link("soft", to: String(repeating: "t", count: 300), type: "2")
            let storage = try scratch.storage()
            let image = try await storage.reader.read(try scratch.write(tar.finished(), to: "a.tar"), platform: .host) {
                _ in
            }
            let disk = try await storage.builder.build(image) { _ in }
            let saved = scratch.appending("saved.tar")
            try await save(image.digest, storage, to: saved)
            let loaded = try await storage.reader.read(saved, platform: .host) { _ in }
            let again = try await storage.builder.build(loaded) { _ in }
            let (first, second) = (
                try await withMounted(disk.path, in: scratch) { try TreeSnapshot(of: $0) },
                try await withMounted(again.path, in: scratch) { try TreeSnapshot(of: $0) }
            )
            #expect(second.differences(from: first) == [])
            #expect(first.lines.count == 6)
        }
    }

    @Test func anArchiveThatWasBegunGoesOnWithoutItsImage() async throws {
        try await Scratch.with { scratch in
            var tar = TarBuilder()
            tar.file("data", (0..<3 << 20).map { UInt8(truncatingIfNeeded: $0 &* 31) })
            let storage = try scratch.storage()
            let image = try await storage.reader.read(try scratch.write(tar.finished(), to: "a.tar"), platform: .host) {
                _ in
            }
            _ = try await storage.builder.build(image) { _ in }
            let archive = try await OCIArchiveWriter(store: storage.store).archive(
                image.digest,
                as: try ImageReference(name)
            )
            _ = try await storage.store.removeAll(except: [])
            var size = 0
            for try await piece in archive.pieces {
                #expect(piece.count <= 600 << 10, "memory is bounded")
                size += piece.count
            }
            #expect(size == archive.size && size > 3 << 20)
        }
    }

    /// A disk that the host damaged gives an error, never a crash or an endless archive.
    @Test(arguments: [nil, 10] as [UInt64?], RootDiskCompression.allCases)
    func damagedDisksAreNoticed(fixed: UInt64?, compression: RootDiskCompression) async throws {
        let seed = fixed ?? UInt64.random(in: 0...UInt64.max)
        print("damaged disks: seed \(seed)")
        try await Scratch.with { scratch in
            var generator = LayerGenerator(seed: seed)
            var bytes = SeededGenerator(seed: seed &+ 1)
            let storage = try scratch.storage(compression: compression)
            let disk = try await storage.disk(from: try scratch.write(generator.layer(), to: "layer.tar"))
            let whole = [UInt8](try Data(contentsOf: URL(filePath: disk.path.string)))
            let metadata = whole[1024 + 40..<1024 + 44].reversed().reduce(0) { $0 << 8 | Int($1) } * 4096
            var failures = 0
            for round in 0..<150 {
                var damaged = whole
                for _ in 0..<20 {
                    damaged[Int.random(in: metadata..<whole.count, using: &bytes)] = UInt8.random(
                        in: 0...255,
                        using: &bytes
                    )
                }
                if round == 0 { damaged = Array(whole.prefix(whole.count / 2)) }
                let path = try scratch.write(damaged, to: "damaged.erofs")
                let began = ContinuousClock.now
                do {
                    let tar = RootDiskTar(try ErofsReader(path))
                    var size = 0
                    while true {
                        let piece = try tar.next(512 << 10)
                        if piece.isEmpty { break }
                        size += piece.count
                        // A file's length is 48 bits wide; the archive would be cut off by its own size.
                        if size > 64 << 20 { break }
                    }
                } catch is DecodingFailure {
                    failures += 1
                }
                // As for archives (FuzzTests): a loop without end on any machine.
                #expect(ContinuousClock.now - began < .seconds(60), "seed \(seed), \(round)")
            }
            #expect(failures > 20, "seed \(seed)")
        }
    }
}

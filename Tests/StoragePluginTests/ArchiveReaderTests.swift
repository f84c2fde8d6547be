import AgentCore
import AgentTestSupport
import Foundation
import StoragePlugin
import SystemPackage
import Testing

@Suite("archives")
struct ArchiveReaderTests {
    private static func layers() -> [[UInt8]] {
        var lower = TarBuilder()
        lower.directory("bin")
        lower.file("bin/tool", [UInt8](repeating: 1, count: 5000), mode: 0o755)
        lower.file("bin/gone")
        var upper = TarBuilder()
        upper.file("bin/.wh.gone")
        upper.link("bin/alias", to: "bin/tool", type: "1")
        return [lower.finished(), upper.finished()]
    }

    private func names(_ disk: RootDisk, in scratch: Scratch) async throws -> Set<String> {
        try await withMounted(disk.path, in: scratch) { Set(try TreeSnapshot(of: $0).lines.keys) }
    }

    private static let expected: Set<String> = ["/", "/bin", "/bin/tool", "/bin/alias"]

    @Test(arguments: ["", "gzip", "zstd"])
    func layoutIsImportedHoweverItIsCompressed(compressor: String) async throws {
        try await Scratch.with { scratch in
            let layout = try await Layout.make(Self.layers(), in: scratch)
            try await tool(
                "umoci",
                ["config", "--image", "\(layout):image", "--config.entrypoint", "/bin/tool", "--config.user", "7:8"]
            )
            var archive = try await Layout.archive(layout, in: scratch)
            if !compressor.isEmpty {
                let suffix = compressor == "gzip" ? ".gz" : ".zst"
                try await tool(compressor, ["-q", archive.string])
                archive = FilePath(archive.string + suffix)
            }
            let storage = try scratch.storage()
            let image = try await storage.reader.read(archive, platform: .host) { _ in }
            #expect(image.configuration.entrypoint == ["/bin/tool"])
            #expect(image.configuration.user == "7:8")
            let disk = try await storage.builder.build(image) { _ in }
            #expect(try await names(disk, in: scratch) == Self.expected)
            // Layers go with the build, and nothing half done stays.
            #expect(try storage.files().filter { $0.hasPrefix("blobs") }.count == 2)
            #expect(try storage.files().filter { $0.hasPrefix("incoming") } == [])
        }
    }

    @Test(arguments: ["", "gzip"])
    func dockerArchiveCarriesItsName(compressor: String) async throws {
        try await Scratch.with { scratch in
            let layout = try await Layout.make(Self.layers(), in: scratch)
            var archive = scratch.appending("docker.tar")
            try await tool(
                "skopeo",
                [
                    "copy", "--insecure-policy", "oci:\(layout):image",
                    "docker-archive:\(archive):example.com/team/app:v2",
                ]
            )
            if !compressor.isEmpty {
                try await tool(compressor, ["-q", archive.string])
                archive = FilePath(archive.string + ".gz")
            }
            let storage = try scratch.storage()
            let image = try await storage.reader.read(archive, platform: .host) { _ in }
            #expect(image.name?.description == "example.com/team/app:v2")
            let disk = try await storage.builder.build(image) { _ in }
            #expect(try await names(disk, in: scratch) == Self.expected)
        }
    }

    @Test func rootFilesystemHasOneDigestHoweverItIsCompressed() async throws {
        try await Scratch.with { scratch in
            var tar = TarBuilder()
            tar.directory("./")
            tar.directory("./etc")
            tar.file("./etc/hostname", Array("vm".utf8), owner: 70_000)
            let plain = try scratch.write(tar.finished(), to: "root.tar")
            try await tool("gzip", ["-k", plain.string])
            let storage = try scratch.storage()
            let first = try await storage.reader.read(plain, platform: .host) { _ in }
            let second = try await storage.reader.read(scratch.appending("root.tar.gz"), platform: .host) { _ in }
            #expect(first.digest == second.digest)
            #expect(second.layers.first?.compression == .gzip)
            let disk = try await storage.builder.build(second) { _ in }
            #expect(try await names(disk, in: scratch) == ["/", "/etc", "/etc/hostname"])
        }
    }

    @Test func sameImageIsTheSameDiskBitForBit() async throws {
        try await Scratch.with { scratch in
            let layout = try await Layout.make(Self.layers(), in: scratch)
            let archive = try await Layout.archive(layout, in: scratch)
            let first = try await scratch.storage(data: scratch.appending("one")).disk(from: archive)
            let second = try await scratch.storage(data: scratch.appending("two")).disk(from: archive)
            #expect(
                try Data(contentsOf: URL(filePath: first.path.string))
                    == Data(contentsOf: URL(filePath: second.path.string))
            )
        }
    }

    @Test func damagedBlobIsNamedAndLeavesNothing() async throws {
        try await Scratch.with { scratch in
            let layout = try await Layout.make(Self.layers(), in: scratch)
            let blobs = layout.appending("blobs/sha256").string
            for name in try FileManager.default.contentsOfDirectory(atPath: blobs) {
                let url = URL(filePath: "\(blobs)/\(name)")
                var bytes = try Data(contentsOf: url)
                guard bytes.starts(with: [0x1f, 0x8b]) else { continue }
                bytes[bytes.count - 1] ^= 1
                try bytes.write(to: url)
            }
            let storage = try scratch.storage()
            let archive = try await Layout.archive(layout, in: scratch)
            let error = await #expect(throws: AgentError.self) {
                try await storage.reader.read(archive, platform: .host) { _ in }
            }
            #expect(error?.code == "digest_mismatch" && error?.kind == .invalidArgument)
            #expect(try storage.files() == [])
        }
    }

    @Test func imageOfAnotherPlatformIsRefused() async throws {
        try await Scratch.with { scratch in
            let layout = try await Layout.make(Self.layers(), in: scratch)
            try await tool("umoci", ["config", "--image", "\(layout):image", "--architecture", "s390x"])
            let storage = try scratch.storage()
            let archive = try await Layout.archive(layout, in: scratch)
            let error = await #expect(throws: AgentError.self) {
                try await storage.reader.read(archive, platform: .host) { _ in }
            }
            #expect(error?.kind == .notSupported)
        }
    }

    @Test(arguments: HostileArchive.all)
    func hostileArchiveIsRefusedAndLeavesNothing(_ hostile: HostileArchive) async throws {
        try await Scratch.with { scratch in
            let limits = ImageLimits(
                maximumSize: .mebibytes(8),
                maximumEntries: 1000,
                maximumDepth: 100,
                maximumInflateRatio: 50,
                freeInflation: .mebibytes(1)
            )
            let storage = try scratch.storage(limits: limits)
            var archive = try scratch.write(hostile.bytes(), to: "hostile.tar")
            if hostile.isCompressed {
                try await tool("gzip", ["-q", archive.string])
                archive = FilePath(archive.string + ".gz")
            }
            let error = await #expect(throws: AgentError.self) { try await storage.disk(from: archive) }
            #expect(error?.kind == .invalidArgument, "\(String(describing: error))")
            #expect(["invalid_archive", "invalid_layer"].contains(error?.code))
            #expect(error?.message.contains(hostile.says) == true, "\(String(describing: error))")
            // What passed as an archive stays as a blob until it is pruned; no disk, and nothing half done.
            #expect(try storage.files().filter { !$0.hasPrefix("blobs/") } == [])
        }
    }

    @Test func randomDamageNeverDoesMoreThanFail() async throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("damaged archives: seed \(seed)")
        var generator = SeededGenerator(seed: seed)
        var layers = LayerGenerator(seed: seed)
        let original = layers.layer()
        try await Scratch.with { scratch in
            let storage = try scratch.storage(limits: ImageLimits(maximumSize: .mebibytes(64)))
            var refused = 0
            for round in 0..<60 {
                var bytes = original
                for _ in 0..<Int.random(in: 1...8, using: &generator) {
                    bytes[Int.random(in: 0..<bytes.count, using: &generator)] = UInt8.random(
                        in: 0...255,
                        using: &generator
                    )
                }
                if round % 3 == 0 { bytes.removeLast(Int.random(in: 1..<bytes.count, using: &generator)) }
                let archive = try scratch.write(bytes, to: "damaged.tar")
                do {
                    let disk = try await storage.disk(from: archive)
                    try await tool("fsck.erofs", [disk.path.string])
                } catch let error as AgentError {
                    refused += 1
                    #expect(error.kind == .invalidArgument, "seed \(seed): \(error)")
                }
            }
            #expect(refused > 0)
            #expect(try storage.files().filter { $0.hasPrefix("incoming") } == [])
        }
    }
}

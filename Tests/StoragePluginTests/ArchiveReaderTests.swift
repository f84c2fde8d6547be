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

    @Test(arguments: ["oci", "zstd", "plain"])
    func sameImageIsTheSameDiskBitForBitHoweverItsLayersAreCompressed(compression: String) async throws {
        try await Scratch.with { scratch in
            var layers = LayerGenerator(seed: 77)
            let layout = try await Layout.make((0..<3).map { _ in layers.layer() }, in: scratch)
            let archive = try await Layout.archive(layout, in: scratch)
            var again = archive
            if compression == "zstd" {
                let other = scratch.appending("zstd")
                try await tool(
                    "skopeo",
                    [
                        "copy", "--insecure-policy", "--dest-compress", "--dest-compress-format", "zstd",
                        "oci:\(layout):image", "dir:\(scratch.appending("dir"))",
                    ]
                )
                try await tool(
                    "skopeo",
                    ["copy", "--insecure-policy", "dir:\(scratch.appending("dir"))", "oci:\(other):image"]
                )
                again = try await Layout.archive(other, in: scratch, name: "again.tar")
            } else if compression == "plain" {
                again = scratch.appending("docker.tar")
                try await tool(
                    "skopeo",
                    ["copy", "--insecure-policy", "oci:\(layout):image", "docker-archive:\(again):a:1"]
                )
            }
            let first = try await scratch.storage(data: scratch.appending("one")).disk(from: archive)
            let second = try await scratch.storage(data: scratch.appending("two")).disk(from: again)
            #expect(
                try Data(contentsOf: URL(filePath: first.path.string))
                    == Data(contentsOf: URL(filePath: second.path.string))
            )
            #expect((first.path.lastComponent == second.path.lastComponent) == (compression == "oci"))
        }
    }

    /// Compressors write members one after the other, names and comments, and padding (RFC 1952).
    @Test(arguments: [
        "gzip -1 <$1", "gzip -9 <$1", "cp $1 $1.named && gzip -N <$1.named", "gzip -1 <$1; head -c 4096 /dev/zero",
        "head -c 300000 $1 | gzip -2; tail -c +300001 $1 | gzip -9", "split -b 3000 --filter='gzip -c' $1",
        "python3 -c 'import gzip,sys; sys.stdout.buffer.write(gzip.compress(open(sys.argv[1],\"rb\").read(),0))' $1",
    ])
    func gzipOfEveryShapeIsReadAlike(command: String) async throws {
        try await Scratch.with { scratch in
            var generator = SeededGenerator(seed: 3)
            var tar = TarBuilder()
            tar.file("random", (0..<200_000).map { _ in UInt8.random(in: 0...255, using: &generator) })
            tar.file("words", (0..<600_000).map { UInt8(truncatingIfNeeded: $0 / 3 &* 7 % 61) })
            let plain = try scratch.write(tar.finished(), to: "plain.tar")
            let packed = scratch.appending("packed.tar.gz")
            try await tool("sh", ["-c", "{ \(command); } >\"$2\"", "sh", plain.string, packed.string])
            let storage = try scratch.storage()
            let expected = try await storage.reader.read(plain, platform: .host) { _ in }
            let image = try await storage.reader.read(packed, platform: .host) { _ in }
            #expect(image.digest == expected.digest)
            #expect(image.layers.first?.compression == .gzip)
            let disk = try await storage.builder.build(image) { _ in }
            #expect(disk.size > .kibibytes(700))
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

    @Test(arguments: ["s390x", String(repeating: "x", count: 50_000)])
    func imageOfAnotherPlatformIsRefused(_ architecture: String) async throws {
        try await Scratch.with { scratch in
            let layout = try await Layout.make(Self.layers(), in: scratch)
            try await tool("umoci", ["config", "--image", "\(layout):image", "--architecture", architecture])
            let storage = try scratch.storage()
            let archive = try await Layout.archive(layout, in: scratch)
            let error = await #expect(throws: AgentError.self) {
                try await storage.reader.read(archive, platform: .host) { _ in }
            }
            #expect(error?.code == "platform_not_found")
            #expect(error?.message.contains(architecture.prefix(30)) == true)
            #expect(error.map { $0.message.utf8.count < 200 } == true, "an image's own words do not fill a log")
        }
    }

    private static let hostileLimits = ImageLimits(
        maximumSize: .mebibytes(8),
        maximumEntries: 1000,
        maximumMetadata: .mebibytes(1),
        maximumDepth: 100,
        maximumInflateRatio: 50,
        freeInflation: .mebibytes(1)
    )

    @Test(arguments: HostileArchive.all)
    func hostileArchiveIsRefusedAndLeavesNothing(_ hostile: HostileArchive) async throws {
        try await Scratch.with { scratch in
            let archive = try scratch.write(try await hostile.packed(in: scratch), to: "hostile.tar")
            try await expectRefusal(of: archive, saying: hostile.says, in: scratch)
        }
    }

    /// An image's layers are first read when the disk is built.
    @Test(arguments: HostileArchive.all.filter(\.isHostileLayer))
    func hostileLayerIsRefusedAndLeavesNothing(_ hostile: HostileArchive) async throws {
        try await Scratch.with { scratch in
            let plain = hostile.bytes()
            let layer = try await hostile.packed(in: scratch)
            // A layer below it, and the hostile one's own digest, are as they should be.
            var below = TarBuilder()
            below.directory("etc")
            let lower = below.finished()
            let image = OCIArchive(
                layers: [lower, layer],
                diffIDs: [ServedImage.digest(lower), ServedImage.digest(plain)]
            )
            let says = hostile.saysAsLayer ?? hostile.says
            try await expectRefusal(of: try scratch.write(image.bytes(), to: "image.tar"), saying: says, in: scratch)
        }
    }

    private func expectRefusal(of archive: FilePath, saying words: String, in scratch: Scratch) async throws {
        let storage = try scratch.storage(limits: Self.hostileLimits)
        let before = try Set(FileManager.default.contentsOfDirectory(atPath: scratch.path.string))
        let error = await #expect(throws: AgentError.self) { try await storage.disk(from: archive) }
        #expect(error?.kind == .invalidArgument, "\(String(describing: error))")
        #expect(["invalid_archive", "invalid_layer"].contains(error?.code))
        #expect(error?.message.contains(words) == true, "\(String(describing: error))")
        // What passed as an archive stays as a blob until it is pruned; no disk, and nothing half done.
        #expect(try storage.files().filter { !$0.hasPrefix("blobs/") } == [])
        #expect(try Set(FileManager.default.contentsOfDirectory(atPath: scratch.path.string)) == before)
    }
}

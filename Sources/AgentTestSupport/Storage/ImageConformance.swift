public import AgentCore
import Synchronization
public import SystemPackage
import Tar

/// What the four image ports of one backend must do together; each function makes its own through `make`.
public struct ImageConformance: Sendable {
    /// A backend, and what a test knows of it.
    public struct Backend: Sendable {
        public var registry: any ImageRegistry
        public var reader: any ImageArchiveReader
        public var builder: any ImageBuilder
        public var store: any ImageStore
        public var writer: any ImageArchiveWriter
        /// An image that the registry has.
        public var known: ImageReference
        /// One that it has not, in the same registry.
        public var unknown: ImageReference
        /// A file with an image in it.
        public var archive: FilePath

        public init(
            registry: any ImageRegistry,
            reader: any ImageArchiveReader,
            builder: any ImageBuilder,
            store: any ImageStore,
            writer: any ImageArchiveWriter,
            known: ImageReference,
            unknown: ImageReference,
            archive: FilePath
        ) {
            self.registry = registry
            self.reader = reader
            self.builder = builder
            self.store = store
            self.writer = writer
            self.known = known
            self.unknown = unknown
            self.archive = archive
        }
    }

    private let backend: Backend

    /// - Parameter backend: With an empty store.
    public init(_ backend: Backend) { self.backend = backend }

    /// All claims, one after the other.
    public func run() async throws {
        try await registryResolvesWhatItHas()
        try await fetchedImageIsBuiltOnce()
        try await archiveIsBuilt()
        try await usageIsThatOfWhatIsThere()
        try await savedImageIsTheSameEachTime()
        try await nothingUnneededIsKept()
        try await archiveFilesComeAndGo()
        try await rootFilesystemGetsAConfiguration()
    }

    private func registryResolvesWhatItHas() async throws {
        let digest = try await backend.registry.resolve(backend.known, platform: .host)
        try require(
            try await backend.registry.resolve(backend.known, platform: .host) == digest,
            "the digest stays the same"
        )
        try require(try await backend.store.rootDisk(of: digest) == nil, "resolving stores nothing")
        do {
            _ = try await backend.registry.resolve(backend.unknown, platform: .host)
            throw ConformanceFailure("an unknown image was resolved")
        } catch let error as AgentError {
            try require(error.kind == .notFound, "an unknown image is notFound, got \(error.kind)")
        }
    }

    private func fetchedImageIsBuiltOnce() async throws {
        let digest = try await backend.registry.resolve(backend.known, platform: .host)
        let last = Mutex<ImageProgress?>(nil)
        let image = try await backend.registry.fetch(backend.known, digest: digest) { progress in
            last.withLock { $0 = progress }
        }
        try require(image.digest == digest, "what is fetched is what was resolved")
        let pulled = last.withLock { $0 }
        try require(
            pulled?.status == .pulling && pulled?.completed == pulled?.total,
            "the end of the pull is reported, got \(String(describing: pulled))"
        )
        let disk = try await backend.builder.build(image) { progress in last.withLock { $0 = progress } }
        try require(last.withLock { $0 }?.status == .converting, "building is reported")
        try require(disk.size.bytes > 0, "a disk has a size")
        try require(try await backend.store.rootDisk(of: digest) == disk, "the store has the disk")
        let again = try await backend.registry.fetch(backend.known, digest: digest) { _ in }
        try require(try await backend.builder.build(again) { _ in } == disk, "a disk that is there is used")
    }

    private func archiveIsBuilt() async throws {
        let image = try await backend.reader.read(backend.archive, platform: .host) { _ in }
        let disk = try await backend.builder.build(image) { _ in }
        try require(try await backend.store.rootDisk(of: image.digest) == disk, "the store has the disk of the archive")
    }

    /// What is appended to a file is an image with another's configuration, whatever is in it.
    private func rootFilesystemGetsAConfiguration() async throws {
        let digest = try await backend.registry.resolve(backend.known, platform: .host)
        let base = try await backend.registry.fetch(backend.known, digest: digest) { _ in }
        let file = try await backend.store.newArchiveFile()
        // The marks of an OCI layout are files like others here.
        for name in ["oci-layout", "index.json", "etc/motd"] {
            try await backend.store.append(TarMember.file(name, Array(name.utf8)), to: file)
        }
        try await backend.store.append(TarMember.end, to: file)
        let unknown = Fixtures.digest("f")
        do {
            _ = try await backend.reader.read(file, platform: .host, basedOn: unknown) { _ in }
            throw ConformanceFailure("the configuration of an unknown image was found")
        } catch let error as AgentError {
            try require(error.kind == .notFound, "an unknown image is notFound, got \(error)")
        }
        let image = try await backend.reader.read(file, platform: .host, basedOn: digest) { _ in }
        try require(image.digest != digest, "it is another image")
        try require(image.configuration == base.configuration, "the configuration is \(image.configuration)")
        let disk = try await backend.builder.build(image) { _ in }
        try require(try await backend.store.rootDisk(of: image.digest) == disk, "the store has its disk")
        try await backend.store.discard(file)
        await backend.store.abandon(base)
    }

    private func nothingUnneededIsKept() async throws {
        let digest = try await backend.registry.resolve(backend.known, platform: .host)
        _ = try await backend.store.removeAll(except: [digest])
        try require(try await backend.store.rootDisk(of: digest) != nil, "what is needed is kept")
        let removable = try await backend.store.removable(except: [])
        try require(try await backend.store.rootDisk(of: digest) != nil, "asking removes nothing")
        let freed = try await backend.store.removeAll(except: [])
        try require(freed == removable, "what is removed is what was said before: \(freed), \(removable)")
        try require(try await backend.store.rootDisk(of: digest) == nil, "what is not needed is removed")
        try require(freed.bytes > 0, "the freed bytes are counted")
    }

    private func usageIsThatOfWhatIsThere() async throws {
        let digest = try await backend.registry.resolve(backend.known, platform: .host)
        let usage = try await backend.store.usage()
        try require(usage.disks[digest].map { $0.bytes > 0 } == true, "a root disk takes room")
        try require(usage.total.bytes >= usage.disks.values.reduce(0) { $0 + $1.bytes }, "the total is all of it")
        try require(usage.limit == nil, "no limit was configured")
        try await backend.store.requireRoom(for: .gibibytes(1 << 20))
    }

    private func savedImageIsTheSameEachTime() async throws {
        let digest = try await backend.registry.resolve(backend.known, platform: .host)
        var archives: [[UInt8]] = []
        for _ in 0..<2 {
            let archive = try await backend.writer.archive(digest, as: backend.known)
            var bytes: [UInt8] = []
            for try await piece in archive.pieces { bytes += piece }
            try require(bytes.count == archive.size, "the size is said before: \(archive.size), \(bytes.count)")
            archives.append(bytes)
        }
        try require(archives[0] == archives[1], "the same image gives the same bytes")
        do {
            _ = try await backend.writer.archive(Fixtures.digest("f"), as: backend.known)
            throw ConformanceFailure("an image without a disk was saved")
        } catch let error as AgentError {
            try require(error.kind == .notFound, "an image without a disk is notFound, got \(error.kind)")
        }
    }

    private func archiveFilesComeAndGo() async throws {
        let first = try await backend.store.newArchiveFile()
        let second = try await backend.store.newArchiveFile()
        try require(first != second, "each archive has its own file")
        for file in [first, first, second] { try await backend.store.discard(file) }
    }
}

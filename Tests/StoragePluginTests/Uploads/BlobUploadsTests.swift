import AgentCore
import AgentTestSupport
import Foundation
import StoragePlugin
import SystemPackage
import Testing

/// What clients push, in memory and on the disk.
@Suite struct BlobUploadsTests {
    private func withUploads(_ body: (ImageUploadsConformance) async throws -> Void) async throws {
        try await body(ImageUploadsConformance { InMemoryUploads(limits: $0) })
        try await Scratch.with { scratch in
            try await body(
                ImageUploadsConformance { limits in
                    try Self.open(scratch.appending("data-\(UUID().uuidString)"), limits).uploads
                }
            )
        }
    }

    private static func open(
        _ data: FilePath,
        _ limits: UploadLimits = UploadLimits()
    ) throws -> (store: ContentStore, uploads: BlobUploads, configuration: StorageConfiguration) {
        let configuration = StorageConfiguration(dataDirectory: data, uploadLimits: limits)
        let store = try ContentStore(configuration: configuration)
        return (store, BlobUploads(store: store, configuration: configuration), configuration)
    }

    private static func push(_ bytes: [UInt8], to uploads: any ImageUploads) async throws {
        let upload = try await uploads.begin()
        try await uploads.append(bytes, to: upload, at: 0)
        try await uploads.finish(upload, as: PushedImage.digest(bytes))
    }

    private static func image() throws -> PushedImage {
        var tar = TarBuilder()
        tar.file("text", Array("pushed".utf8))
        return try PushedImage(layers: [tar.finished()])
    }

    @Test func blobComesInPieces() async throws { try await withUploads { try await $0.blobComesInPieces() } }
    @Test func wrongDigestLeavesNothing() async throws {
        try await withUploads { try await $0.wrongDigestLeavesNothing() }
    }
    @Test func uploadsAreBounded() async throws { try await withUploads { try await $0.uploadsAreBounded() } }
    @Test func idleUploadsAndOldBlobsGo() async throws {
        try await withUploads { try await $0.idleUploadsAndOldBlobsGo() }
    }
    @Test func manifestNeedsItsBlobs() async throws { try await withUploads { try await $0.manifestNeedsItsBlobs() } }
    @Test func indexIsItsPartForThePlatform() async throws {
        try await withUploads { try await $0.indexIsItsPartForThePlatform() }
    }

    @Test func aPushGoesOnAfterARestartBetweenBlobAndManifest() async throws {
        try await Scratch.with { scratch async throws in
            let data = scratch.appending("data")
            let image = try Self.image()
            let unfinished: UploadID
            do {
                let first = try Self.open(data)
                for blob in image.blobs { try await Self.push(blob, to: first.uploads) }
                unfinished = try await first.uploads.begin()
                try await first.uploads.append([1, 2, 3], to: unfinished, at: 0)
            }
            let second = try Self.open(data)
            // What every start does.
            #expect(try await second.store.removeAll(except: []).bytes == 0)
            let error = await #expect(throws: AgentError.self) { try await second.uploads.received(by: unfinished) }
            #expect(error?.code == "upload_unknown")
            #expect(try FileManager.default.contentsOfDirectory(atPath: data.appending("incoming").string) == [])
            _ = try await second.uploads.put(image.manifest, type: nil, as: nil)
            let fetched = try await second.uploads.image(image.digest, platform: .host)
            let builder = ErofsImageBuilder(store: second.store, configuration: second.configuration)
            _ = try await builder.build(fetched) { _ in }
            // Another life: the manifest is still served.
            let third = try Self.open(data)
            _ = try await third.store.removeAll(except: [image.digest])
            #expect(try await third.uploads.manifest(image.digest)?.bytes == image.manifest)
        }
    }

    @Test func whatIsPushedIsKeptForAWhileAndThenGoes() async throws {
        try await Scratch.with { scratch async throws in
            let data = scratch.appending("data")
            let bytes = [UInt8](repeating: 7, count: 10_000)
            let digest = PushedImage.digest(bytes)
            let patient = try Self.open(data)
            try await Self.push(bytes, to: patient.uploads)
            #expect(try await patient.store.removeAll(except: []).bytes == 0)
            #expect(try await patient.uploads.keep(digest) == bytes.count)
            // The same files under another rule, which is as good as an hour later.
            let later = try Self.open(data, UploadLimits(retention: .zero))
            #expect(try await later.uploads.expire())
            #expect(try await later.store.removeAll(except: []).bytes >= bytes.count)
            #expect(try await later.uploads.keep(digest) == nil)
            let files = FileManager.default.enumerator(atPath: data.string)?.compactMap { $0 as? String } ?? []
            #expect(!files.contains { $0.contains(digest.hex) }, "\(files)")
        }
    }

    @Test func anOpenUploadIsNotGarbage() async throws {
        try await Scratch.with { scratch async throws in
            let storage = try Self.open(scratch.appending("data"))
            let upload = try await storage.uploads.begin()
            try await storage.uploads.append([1, 2, 3], to: upload, at: 0)
            _ = try await storage.store.removeAll(except: [])
            try await storage.uploads.append([4], to: upload, at: 3)
            let digest = PushedImage.digest([1, 2, 3, 4])
            try await storage.uploads.finish(upload, as: digest)
            #expect(try await storage.uploads.keep(digest) == 4)
        }
    }

    @Test func whoeverWasToldThatALayerIsHereDoesNotLoseItToABuild() async throws {
        try await Scratch.with { scratch async throws in
            let storage = try Self.open(scratch.appending("data"))
            let image = try Self.image()
            for blob in image.blobs { try await Self.push(blob, to: storage.uploads) }
            _ = try await storage.uploads.put(image.manifest, type: nil, as: nil)
            let builder = ErofsImageBuilder(store: storage.store, configuration: storage.configuration)
            _ = try await builder.build(try await storage.uploads.image(image.digest, platform: .host)) { _ in }
            let layer = PushedImage.digest(image.layers[0])
            #expect(try await storage.uploads.keep(layer) == image.layers[0].count)
        }
    }

    @Test func aManifestWithARootDiskNeedsNoLayers() async throws {
        try await Scratch.with { scratch async throws in
            // Kept for no time at all: the layers go with the build.
            let storage = try Self.open(scratch.appending("data"), UploadLimits(retention: .zero))
            let image = try Self.image()
            for blob in image.blobs { try await Self.push(blob, to: storage.uploads) }
            _ = try await storage.uploads.put(image.manifest, type: nil, as: nil)
            let builder = ErofsImageBuilder(store: storage.store, configuration: storage.configuration)
            let disk = try await builder.build(try await storage.uploads.image(image.digest, platform: .host)) { _ in }
            #expect(try await storage.uploads.keep(PushedImage.digest(image.layers[0])) == nil)
            _ = try await storage.uploads.put(image.manifest, type: nil, as: nil)
            let again = try await storage.uploads.image(image.digest, platform: .host)
            #expect(again.layers == [])
            #expect(try await builder.build(again) { _ in } == disk)
        }
    }
}

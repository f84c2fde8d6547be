public import AgentCore

/// What every ``ImageUploads`` must do.
public struct ImageUploadsConformance: Sendable {
    private let make: @Sendable (UploadLimits) async throws -> any ImageUploads

    /// - Parameter make: Makes one that is empty.
    public init(_ make: @escaping @Sendable (UploadLimits) async throws -> any ImageUploads) { self.make = make }

    private static let bytes = Array("what is pushed".utf8)

    /// A layer, which is the end of an empty tar and some more.
    private static func layer(_ blocks: Int) -> [UInt8] { [UInt8](repeating: 0, count: blocks * 512) }

    private func push(_ bytes: [UInt8], to uploads: any ImageUploads) async throws {
        let upload = try await uploads.begin()
        try await uploads.append(bytes, to: upload, at: 0)
        try await uploads.finish(upload, as: PushedImage.digest(bytes))
    }

    private func failure(_ claim: String, code: String, _ body: () async throws -> Void) async throws {
        do {
            try await body()
        } catch let error as AgentError {
            try require(error.code == code, "\(claim): \(code), not \(error.code) (\(error))")
            return
        }
        throw ConformanceFailure("\(claim): nothing was thrown")
    }

    public func blobComesInPieces() async throws {
        let uploads = try await make(UploadLimits())
        let digest = PushedImage.digest(Self.bytes)
        try require(try await uploads.keep(digest) == nil, "it is not here yet")
        try require(try await uploads.read(digest) == nil, "it cannot be read yet")
        let upload = try await uploads.begin()
        try require(try await uploads.received(by: upload) == 0, "it begins empty")
        try await uploads.append(Array(Self.bytes.prefix(5)), to: upload, at: 0)
        try require(try await uploads.received(by: upload) == 5, "what came is counted")
        try await failure("a gap", code: "upload_offset") { try await uploads.append([1], to: upload, at: 7) }
        try await failure("an overlap", code: "upload_offset") { try await uploads.append([1], to: upload, at: 3) }
        try await uploads.append(Array(Self.bytes.dropFirst(5)), to: upload, at: 5)
        try await uploads.finish(upload, as: digest)
        try require(try await uploads.keep(digest) == Self.bytes.count, "it is here")
        guard let reader = try await uploads.read(digest) else { throw ConformanceFailure("it cannot be read") }
        try require(reader.size == Self.bytes.count, "its size is known")
        try require(try await reader.read(at: 0, count: 1000) == Self.bytes, "it is what was pushed")
        try require(try await reader.read(at: 5, count: 4) == Array(Self.bytes[5..<9]), "a part is what it is")
        try require(try await reader.read(at: Self.bytes.count, count: 4) == [], "it ends")
        try await failure("the upload is over", code: "upload_unknown") {
            _ = try await uploads.received(by: upload)
        }
    }

    public func wrongDigestLeavesNothing() async throws {
        let uploads = try await make(UploadLimits())
        let upload = try await uploads.begin()
        try await uploads.append(Self.bytes, to: upload, at: 0)
        try await failure("another digest", code: "digest_mismatch") {
            try await uploads.finish(upload, as: Fixtures.digest())
        }
        try await failure("the upload is over", code: "upload_unknown") {
            _ = try await uploads.received(by: upload)
        }
        try require(try await uploads.keep(PushedImage.digest(Self.bytes)) == nil, "the blob is not here")
        try require(try await uploads.keep(Fixtures.digest()) == nil, "nor is the other")
    }

    public func uploadsAreBounded() async throws {
        let uploads = try await make(
            UploadLimits(maximumUploads: 2, maximumBlob: ByteSize(bytes: 10), maximumIdle: .seconds(900))
        )
        let first = try await uploads.begin()
        let second = try await uploads.begin()
        try await failure("a third", code: "too_many_uploads") { _ = try await uploads.begin() }
        try await uploads.append([UInt8](repeating: 1, count: 10), to: first, at: 0)
        try await failure("a byte too many", code: "blob_too_large") {
            try await uploads.append([1], to: first, at: 10)
        }
        try await failure("it is given up", code: "upload_unknown") { _ = try await uploads.received(by: first) }
        try await uploads.cancel(second)
        try await failure("it is cancelled", code: "upload_unknown") { try await uploads.cancel(second) }
        _ = try await uploads.begin()
        _ = try await uploads.begin()
    }

    public func idleUploadsAndOldBlobsGo() async throws {
        let uploads = try await make(UploadLimits(maximumIdle: .seconds(-1), retention: .zero))
        let upload = try await uploads.begin()
        try await push(Self.bytes, to: uploads)
        try require(try await uploads.expire(), "something is no longer kept")
        try await failure("it is given up", code: "upload_unknown") { _ = try await uploads.received(by: upload) }
        try require(try await !uploads.expire(), "now there is nothing more")
        let patient = try await make(UploadLimits())
        let kept = try await patient.begin()
        try await push(Self.bytes, to: patient)
        try require(try await !patient.expire(), "what is young stays")
        try require(try await patient.received(by: kept) == 0, "what is in use stays")
    }

    public func manifestNeedsItsBlobs() async throws {
        let uploads = try await make(UploadLimits())
        let image = try PushedImage(layers: [Self.layer(2)])
        try await failure("nothing is here", code: "manifest_blob_unknown") {
            _ = try await uploads.put(image.manifest, type: PushedImage.manifestType, as: nil)
        }
        try require(try await uploads.manifest(image.digest) == nil, "it was not kept")
        for blob in image.blobs { try await push(blob, to: uploads) }
        try await failure("another digest", code: "digest_mismatch") {
            _ = try await uploads.put(image.manifest, type: nil, as: Fixtures.digest())
        }
        try await failure("another type", code: "invalid_manifest") {
            _ = try await uploads.put(image.manifest, type: PushedImage.indexType, as: nil)
        }
        for garbage in ["", "{}", "[]", "null", "{\"layers\":[{}]}", "{\"manifests\":[{}]}", "\u{0}"] {
            try await failure("'\(garbage)'", code: "invalid_manifest") {
                _ = try await uploads.put(Array(garbage.utf8), type: nil, as: nil)
            }
        }
        try await failure("5 MiB", code: "manifest_too_large") {
            _ = try await uploads.put([UInt8](repeating: 32, count: 5 << 20), type: nil, as: nil)
        }
        let pushed = try await uploads.put(image.manifest, type: PushedImage.manifestType, as: image.digest)
        try require(pushed.digest == image.digest && pushed.type == PushedImage.manifestType, "it is what it is")
        try require(try await uploads.manifest(image.digest) == pushed, "it is kept to the byte")
        try require(try await uploads.manifest(PushedImage.digest(image.configuration)) == nil, "no other blob is one")
        let fetched = try await uploads.image(image.digest, platform: .host)
        try require(fetched.digest == image.digest, "it is the image")
        try require(fetched.configuration.command == ["/bin/app"], "with its configuration")
        try await uploads.release(fetched)
    }

    public func indexIsItsPartForThePlatform() async throws {
        let uploads = try await make(UploadLimits())
        let foreign = Platform(os: "linux", architecture: "s390x")
        let own = try PushedImage(layers: [Self.layer(2)])
        let other = try PushedImage(layers: [Self.layer(3)], platform: foreign)
        let index = try PushedImage.index([(other, foreign), (own, .host)])
        for blob in own.blobs + other.blobs { try await push(blob, to: uploads) }
        _ = try await uploads.put(own.manifest, type: nil, as: own.digest)
        try await failure("one is missing", code: "manifest_blob_unknown") {
            _ = try await uploads.put(index, type: PushedImage.indexType, as: nil)
        }
        _ = try await uploads.put(other.manifest, type: nil, as: other.digest)
        let pushed = try await uploads.put(index, type: PushedImage.indexType, as: nil)
        try require(try await uploads.manifest(pushed.digest)?.bytes == index, "it is kept to the byte")
        let fetched = try await uploads.image(pushed.digest, platform: .host)
        try require(fetched.digest == own.digest, "the host's part is the image")
        try await uploads.release(fetched)
        try await failure("an image for others", code: "platform_not_found") {
            _ = try await uploads.image(other.digest, platform: .host)
        }
        let lonely = try await uploads.put(try PushedImage.index([(other, foreign)]), type: nil, as: nil)
        try await failure("an index for others", code: "platform_not_found") {
            _ = try await uploads.image(lonely.digest, platform: .host)
        }
    }
}

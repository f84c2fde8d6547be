public import AgentCore
import Foundation
import Synchronization

import struct Crypto.SHA256

/// What clients push, in memory.
public final class InMemoryUploads: ImageUploads {
    private struct Upload {
        var bytes: [UInt8] = []
        var lastUse: ContinuousClock.Instant
    }

    private struct State {
        var blobs: [Digest: [UInt8]] = [:]
        var kept: [Digest: ContinuousClock.Instant] = [:]
        var uploads: [UploadID: Upload] = [:]
    }

    private let state = Mutex(State())
    private let limits: UploadLimits
    private let now: @Sendable () -> ContinuousClock.Instant

    /// Without blobs.
    public init(
        limits: UploadLimits = UploadLimits(),
        now: @escaping @Sendable () -> ContinuousClock.Instant = { .now }
    ) {
        self.limits = limits
        self.now = now
    }

    // MARK: Blobs

    public func keep(_ blob: Digest) async throws -> Int? {
        state.withLock { state in
            guard let bytes = state.blobs[blob] else { return nil }
            state.kept[blob] = now()
            return bytes.count
        }
    }

    public func read(_ blob: Digest) async throws -> (any BlobReader)? {
        state.withLock { $0.blobs[blob] }.map(MemoryBlobReader.init)
    }

    // MARK: Uploads

    public func begin() async throws -> UploadID {
        try state.withLock { state in
            guard state.uploads.count < limits.maximumUploads else {
                throw AgentError(.rateLimited, code: "too_many_uploads", "there are too many uploads")
            }
            let id = UploadID.random()
            state.uploads[id] = Upload(lastUse: now())
            return id
        }
    }

    public func received(by upload: UploadID) async throws -> Int { try use(upload) { $0.bytes.count } }

    public func append(_ bytes: [UInt8], to upload: UploadID, at offset: Int) async throws {
        do {
            try use(upload) { upload in
                guard upload.bytes.count == offset else {
                    throw AgentError(.invalidState, code: "upload_offset", "the upload goes on elsewhere")
                }
                guard offset + bytes.count <= limits.maximumBlob.bytes else {
                    throw AgentError(.quotaExceeded, code: "blob_too_large", "the blob is too large")
                }
                upload.bytes += bytes
            }
        } catch let error as AgentError where error.code == "blob_too_large" {
            state.withLock { $0.uploads[upload] = nil }
            throw error
        }
    }

    public func finish(_ upload: UploadID, as digest: Digest) async throws {
        let bytes = try use(upload) { $0.bytes }
        try state.withLock { state in
            state.uploads[upload] = nil
            guard Self.digest(bytes) == digest else {
                throw AgentError(.invalidArgument, code: "digest_mismatch", "the blob has other contents")
            }
            state.blobs[digest] = bytes
            state.kept[digest] = now()
        }
    }

    public func cancel(_ upload: UploadID) async throws {
        _ = try use(upload) { $0.bytes.count }
        state.withLock { $0.uploads[upload] = nil }
    }

    private func use<T>(_ id: UploadID, _ body: (inout Upload) throws -> T) throws -> T {
        try state.withLock { state in
            guard var upload = state.uploads[id] else {
                throw AgentError(.notFound, code: "upload_unknown", "there is no upload \(id)")
            }
            upload.lastUse = now()
            let result = try body(&upload)
            state.uploads[id] = upload
            return result
        }
    }

    private static func digest(_ bytes: [UInt8]) -> Digest? { Digest(sha256: Array(SHA256.hash(data: bytes))) }

    // MARK: Manifests

    public func put(_ manifest: [UInt8], type: String?, as digest: Digest?) async throws -> PushedManifest {
        guard manifest.count <= 4 << 20 else {
            throw AgentError(.invalidArgument, code: "manifest_too_large", "the manifest is too large")
        }
        guard let actual = Self.digest(manifest), digest == nil || digest == actual else {
            throw AgentError(.invalidArgument, code: "digest_mismatch", "the manifest has another digest")
        }
        let document = try ManifestDocument(manifest)
        guard type == nil || type == document.type else {
            throw AgentError(.invalidArgument, code: "invalid_manifest", "the manifest is of another type")
        }
        return try state.withLock { state in
            for (reference, size) in document.references {
                guard let blob = state.blobs[reference] else {
                    throw AgentError(.invalidArgument, code: "manifest_blob_unknown", "\(reference) is not here")
                }
                guard blob.count == size else {
                    throw AgentError(.invalidArgument, code: "invalid_manifest", "\(reference) has another size")
                }
                state.kept[reference] = now()
            }
            state.blobs[actual] = manifest
            state.kept[actual] = now()
            return PushedManifest(digest: actual, type: document.type, bytes: manifest)
        }
    }

    public func manifest(_ digest: Digest) async throws -> PushedManifest? {
        guard let bytes = state.withLock({ $0.blobs[digest] }), let document = try? ManifestDocument(bytes) else {
            return nil
        }
        return PushedManifest(digest: digest, type: document.type, bytes: bytes)
    }

    public func image(_ manifest: Digest, platform: Platform) async throws -> FetchedImage {
        guard let bytes = state.withLock({ $0.blobs[manifest] }) else {
            throw AgentError(.notFound, "there is no manifest \(manifest)")
        }
        let document = try ManifestDocument(bytes)
        if let platforms = document.platforms {
            guard let found = platforms.first(where: { $0.1 == "\(platform.os)/\(platform.architecture)" }) else {
                throw AgentError(.notSupported, code: "platform_not_found", "there is nothing for \(platform)")
            }
            return try await image(found.0, platform: platform)
        }
        guard let configuration = document.references.first?.0,
            let contents = state.withLock({ $0.blobs[configuration] }),
            let fields = try? JSONSerialization.jsonObject(with: Data(contents)) as? [String: Any],
            fields["rootfs"] is [String: Any]
        else { throw AgentError(.invalidArgument, code: "invalid_manifest", "it is no image") }
        let (os, architecture) = (fields["os"] as? String, fields["architecture"] as? String)
        guard os ?? platform.os == platform.os, architecture ?? platform.architecture == platform.architecture else {
            throw AgentError(.notSupported, code: "platform_not_found", "the image is for another platform")
        }
        let command = (fields["config"] as? [String: Any])?["Cmd"] as? [String] ?? []
        return FetchedImage(digest: manifest, configuration: ImageConfiguration(command: command), layers: [])
    }

    public func release(_ image: FetchedImage) async throws {}

    // MARK: Time

    public func expire() async throws -> Bool {
        let now = now()
        return state.withLock { state in
            state.uploads = state.uploads.filter { $0.value.lastUse >= now - limits.maximumIdle }
            let before = state.kept.count
            state.kept = state.kept.filter { $0.value > now - limits.retention }
            // Nothing else refers to a blob here.
            state.blobs = state.blobs.filter { state.kept[$0.key] != nil }
            return state.kept.count < before
        }
    }
}

private struct MemoryBlobReader: BlobReader {
    let bytes: [UInt8]
    var size: Int { bytes.count }

    func read(at offset: Int, count: Int) async throws -> [UInt8] { Array(bytes.dropFirst(offset).prefix(count)) }
}

/// What the double reads of a manifest or an index.
private struct ManifestDocument {
    let type: String
    /// Digest and size; of an image, the configuration first.
    let references: [(Digest, Int)]
    /// Of an index: the manifests and what each is for.
    let platforms: [(Digest, String)]?

    init(_ bytes: [UInt8]) throws {
        func invalid(_ why: String) -> AgentError { AgentError(.invalidArgument, code: "invalid_manifest", why) }
        func reference(_ value: Any?) throws -> (Digest, Int) {
            guard let fields = value as? [String: Any],
                let digest = (fields["digest"] as? String).flatMap({ Digest($0) }),
                let size = fields["size"] as? Int
            else { throw invalid("a descriptor is not valid") }
            return (digest, size)
        }
        guard let fields = try? JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any] else {
            throw invalid("the manifest is not a JSON object")
        }
        let kind: String
        if let manifests = fields["manifests"] as? [[String: Any]] {
            kind = "index"
            references = try manifests.map { try reference($0) }
            platforms = try manifests.map { entry in
                let platform = entry["platform"] as? [String: Any] ?? [:]
                return (try reference(entry).0, "\(platform["os"] ?? "")/\(platform["architecture"] ?? "")")
            }
        } else if let layers = fields["layers"] as? [[String: Any]] {
            kind = "manifest"
            references = [try reference(fields["config"])] + (try layers.map { try reference($0) })
            platforms = nil
        } else {
            throw invalid("the manifest is neither an image nor an index")
        }
        type = fields["mediaType"] as? String ?? "application/vnd.oci.image.\(kind).v1+json"
    }
}

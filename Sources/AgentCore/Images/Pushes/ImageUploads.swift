/// Takes in what clients push: blobs, in pieces or as a whole, and the manifests that make images of them.
///
/// Blobs are shared by all repositories, as they are by all images. What is pushed is kept for a while although nothing
/// refers to it yet (``UploadLimits/retention``, over restarts of the agent too); what an image refers to stays as
/// ``ImageStore`` says, and what neither holds goes with its next ``ImageStore/removeAll(except:)``. Uploads that are not
/// finished do not outlive the agent.
public protocol ImageUploads: Sendable {
    // MARK: Blobs

    /// Looks whether a blob is here and, if so, keeps it for ``UploadLimits/retention`` from now on.
    ///
    /// - Returns: Its size in bytes; nil if it is not here.
    func keep(_ blob: Digest) async throws -> Int?

    /// Opens a blob for reading; what is open can be read to its end, even if the blob is removed meanwhile.
    ///
    /// - Returns: nil if it is not here.
    func read(_ blob: Digest) async throws -> (any BlobReader)?

    // MARK: Uploads

    /// Begins the upload of a blob.
    ///
    /// - Throws: `rateLimited` with code `too_many_uploads` while ``UploadLimits/maximumUploads`` are open.
    func begin() async throws -> UploadID

    /// How many bytes of an upload are here.
    ///
    /// - Throws: `notFound` with code `upload_unknown` for one that was finished, cancelled, given up or never begun.
    func received(by upload: UploadID) async throws -> Int

    /// Adds bytes to an upload; they are on their way to the disk when this returns, so that the caller can wait with
    /// reading more.
    ///
    /// - Parameters:
    ///   - bytes: The bytes.
    ///   - upload: Which one.
    ///   - offset: How many bytes the caller believes to be here.
    /// - Throws: `invalidState` with code `upload_offset` if others are, and nothing is added; `quotaExceeded` with code
    ///   `blob_too_large`, and `storageFull`, after both of which the upload is given up; `notFound` as
    ///   ``received(by:)``.
    func append(_ bytes: [UInt8], to upload: UploadID, at offset: Int) async throws

    /// Ends an upload, whose bytes are all here, and keeps the blob as ``keep(_:)`` does.
    ///
    /// The upload is gone afterwards, whatever comes of it.
    ///
    /// - Throws: `invalidArgument` with code `digest_mismatch` if the bytes have another digest; `storageFull`;
    ///   `notFound` as ``received(by:)``.
    func finish(_ upload: UploadID, as digest: Digest) async throws

    /// Gives an upload up.
    ///
    /// - Throws: `notFound` as ``received(by:)``.
    func cancel(_ upload: UploadID) async throws

    // MARK: Manifests

    /// Takes in the manifest of an image or an index, if all that it refers to is here, and keeps all of that as
    /// ``keep(_:)`` does.
    ///
    /// The layers of an image whose root disk is here are not missed.
    ///
    /// - Parameters:
    ///   - manifest: Its bytes, which are kept as they are.
    ///   - type: The media type under which it came; nil if it came under none.
    ///   - digest: What it was announced as; nil takes any.
    /// - Returns: The manifest.
    /// - Throws: `invalidArgument` with code `digest_mismatch`, `invalid_manifest`, `manifest_too_large` or, if something
    ///   is not here, `manifest_blob_unknown`; `storageFull`.
    func put(_ manifest: [UInt8], type: String?, as digest: Digest?) async throws -> PushedManifest

    /// A manifest or index that is here.
    ///
    /// - Returns: nil also for blobs that are something else.
    func manifest(_ digest: Digest) async throws -> PushedManifest?

    /// The image that a manifest is, or the best of an index for a platform.
    ///
    /// Its layers are held until ``ImageBuilder/build(_:progress:)`` ends or ``release(_:)`` is called; one of both must
    /// follow. An image whose root disk is here comes without layers if those are gone.
    ///
    /// - Throws: `notSupported` with code `platform_not_found` if there is none for the platform; `invalidArgument` with
    ///   code `invalid_manifest` if it is no image at all, or `manifest_blob_unknown`; `notFound`.
    func image(_ manifest: Digest, platform: Platform) async throws -> FetchedImage

    /// Lets go of an image that is not going to be built from its layers after all.
    func release(_ image: FetchedImage) async throws

    // MARK: Time

    /// Gives up the uploads that nobody went on with for ``UploadLimits/maximumIdle``, and no longer keeps what was kept
    /// for ``UploadLimits/retention``.
    ///
    /// - Returns: Whether there may be blobs now that ``ImageStore/removeAll(except:)`` would remove.
    func expire() async throws -> Bool
}

/// Reads a blob.
public protocol BlobReader: Sendable {
    /// In bytes.
    var size: Int { get }

    /// Up to `count` bytes from `offset`; none only at the end.
    func read(at offset: Int, count: Int) async throws -> [UInt8]
}

/// A manifest or index as it was pushed.
public struct PushedManifest: Sendable, Hashable {
    public var digest: Digest
    /// Its media type.
    public var type: String
    public var bytes: [UInt8]

    public init(digest: Digest, type: String, bytes: [UInt8]) {
        self.digest = digest
        self.type = type
        self.bytes = bytes
    }
}

/// The name of an upload that is under way: 32 hexadecimal digits that nobody can guess.
public struct UploadID: Sendable, Hashable, CustomStringConvertible {
    public let description: String

    /// One that is new.
    public static func random() -> UploadID {
        var generator = SystemRandomNumberGenerator()
        let halves = (0..<2).map { _ in
            let digits = String(generator.next() as UInt64, radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }
        return UploadID(verified: halves.joined())
    }

    /// Checks `text`; nil if it has another form.
    public init?(_ text: some StringProtocol) {
        guard text.utf8.count == 32, text.utf8.allSatisfy({ (48...57).contains($0) || (97...102).contains($0) }) else {
            return nil
        }
        self.init(verified: String(text))
    }

    private init(verified text: String) { description = text }
}

/// Bounds on what clients push.
public struct UploadLimits: Sendable, Hashable {
    /// Uploads that are open at a time.
    public var maximumUploads: Int
    /// Of one blob.
    public var maximumBlob: ByteSize
    /// How long an upload waits for its next bytes.
    public var maximumIdle: Duration
    /// How long a blob is kept that nothing refers to.
    public var retention: Duration

    public init(
        maximumUploads: Int = 64,
        maximumBlob: ByteSize = .gibibytes(64),
        maximumIdle: Duration = .seconds(15 * 60),
        retention: Duration = .seconds(60 * 60)
    ) {
        self.maximumUploads = maximumUploads
        self.maximumBlob = maximumBlob
        self.maximumIdle = maximumIdle
        self.retention = retention
    }
}

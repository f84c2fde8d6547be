/// Writes images as archives that other tools read.
public protocol ImageArchiveWriter: Sendable {
    /// Makes the archive of a ready image: an OCI layout in a tar, which also has what `docker load` looks for.
    ///
    /// The image has one layer there, made from its root disk, and so another digest; what runs of it is the same. Equal
    /// images with equal names give equal bytes. The archive is read from the root disk as it is asked for, and goes on
    /// although the image is removed meanwhile.
    ///
    /// - Throws: ``AgentError`` `notFound` if the root disk or the image's configuration is not there; `internal` with
    ///   code `damaged_disk` if the disk is not what was once written.
    func archive(_ digest: Digest, as name: ImageReference) async throws -> ImageArchive
}

/// An archive that is made while it is read.
public struct ImageArchive: Sendable {
    /// All bytes of it.
    public var size: Int
    /// The bytes in pieces of bounded size, each made when it is asked for; to be read once.
    public var pieces: AsyncThrowingStream<[UInt8], any Error>

    public init(size: Int, pieces: AsyncThrowingStream<[UInt8], any Error>) {
        self.size = size
        self.pieces = pieces
    }
}

extension ImagesService {
    /// The archive of a ready image, see ``ImageArchiveWriter/archive(_:as:)``.
    ///
    /// - Throws: `notFound`; `invalidState` `image_not_ready`.
    public func archive(_ reference: ImageReference) async throws -> ImageArchive {
        let image = try get(reference)
        guard image.status == .ready else {
            let why = image.error.map { ": \($0)" } ?? ""
            throw AgentError(
                .invalidState,
                code: "image_not_ready",
                "image '\(image.name)' is \(image.status.rawValue)\(why); only a ready one can be saved"
            )
        }
        return try await writer.archive(image.digest, as: try ImageReference(image.name))
    }
}

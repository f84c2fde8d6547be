public import SystemPackage

/// Images: how they get here, by which names they are known, and when they go.
public final class ImagesService: Sendable {
    /// Asks the registry for an image and starts getting it; returns when it is known to exist.
    ///
    /// An image that is here under the same digest is returned as it is; one that failed is tried again; several callers
    /// share one pull.
    ///
    /// - Throws: What the registry says, see ``ImageRegistry/resolve(_:platform:)``.
    public func pull(_ reference: ImageReference, tags: [String: String] = [:]) async throws -> Image {
        throw AgentError(.internal, "stub")
    }

    /// A file to write a received archive to.
    public func newArchiveFile() async throws -> FilePath { throw AgentError(.internal, "stub") }

    /// Takes in an archive that was written to a file of ``newArchiveFile()``, and starts converting it. The file is
    /// gone when this returns or throws.
    ///
    /// - Parameters:
    ///   - archive: The file.
    ///   - name: The image's name; nil takes the one that the archive carries.
    ///   - tags: The image's tags.
    /// - Throws: `invalidArgument`: `invalid_archive`, `digest_mismatch`, or `invalid_name` if there is no name.
    public func importArchive(_ archive: FilePath, name: ImageReference?, tags: [String: String] = [:]) async throws -> Image {
        throw AgentError(.internal, "stub")
    }

    /// All images, by name, whatever their status.
    public func list() -> [Image] { [] }

    /// The image of a name, with or without a digest.
    ///
    /// - Throws: `notFound`.
    public func get(_ reference: ImageReference) throws(AgentError) -> Image { throw AgentError(.internal, "stub") }

    /// Forgets a name, and removes the root disk if no other name and no instance needs it. What is under way for it
    /// is cancelled.
    ///
    /// - Throws: `notFound`; `busy` with code `image_in_use` if an instance was made from it.
    public func delete(_ reference: ImageReference) async throws { throw AgentError(.internal, "stub") }

    /// How a pull or import goes: the newest state at once, then changes, until it is ready or failed. Steps that a
    /// slow consumer misses are skipped, never the last.
    public func progress(of reference: ImageReference) throws(AgentError) -> AsyncStream<ImageProgress> {
        throw AgentError(.internal, "stub")
    }

    /// Waits until an image is ready or failed.
    ///
    /// - Throws: `notFound` if it is deleted meanwhile.
    public func wait(_ reference: ImageReference) async throws -> Image { throw AgentError(.internal, "stub") }
}

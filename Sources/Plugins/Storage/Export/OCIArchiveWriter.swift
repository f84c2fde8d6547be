public import AgentCore
import Foundation
import Tar

import struct Crypto.SHA256

/// Writes the archive of an image from its root disk.
///
/// Layers are not kept, so the image gets one layer that is made of the disk. A tar says how long a member is before its
/// contents, and a blob is named by its digest: the disk is read twice, once for these and once for the archive, and
/// nothing is stored in between.
public struct OCIArchiveWriter: ImageArchiveWriter {
    private let store: ContentStore

    public init(store: ContentStore) { self.store = store }

    public func archive(_ digest: Digest, as name: ImageReference) async throws -> ImageArchive {
        do {
            return try await Blocking.long("image-archive") { [store] cancellation in
                guard try store.existingRootDisk(of: digest) != nil else {
                    throw AgentError(.notFound, "the root disk of \(name) is not there; pull or import it again")
                }
                let path = store.diskPath(digest)
                let layer = try Self.measure(RootDiskTar(try ErofsReader(path)), cancellation)
                let documents = try ArchiveDocuments(
                    configuration: try configuration(of: digest, name),
                    layer: layer,
                    name: name
                )
                // Opened now, so that the archive goes on although the image is removed.
                let pieces = ArchivePieces(
                    head: documents.head,
                    layer: RootDiskTar(try ErofsReader(path)),
                    size: layer.size
                )
                return ImageArchive(
                    size: documents.head.count + layer.size + TarMember.padding(after: layer.size)
                        + TarMember.end.count,
                    pieces: AsyncThrowingStream { try await pieces.next() }
                )
            }
        } catch let failure as DecodingFailure {
            throw ArchivePieces.damaged(failure)
        } catch {
            throw AgentError.wrapping(error, "cannot save \(name)")
        }
    }

    private func configuration(of digest: Digest, _ name: ImageReference) throws -> [UInt8] {
        guard let bytes = try store.configuration(of: digest) else {
            throw AgentError(.notFound, "the configuration of \(name) is not there; pull or import it again")
        }
        return bytes
    }

    private static func measure(_ tar: RootDiskTar, _ cancellation: Cancellation) throws -> OCI.Descriptor {
        var hash = SHA256()
        var size = 0
        while true {
            try cancellation.check()
            let piece = try tar.next(ArchivePieces.pieceSize)
            if piece.isEmpty { break }
            hash.update(data: piece)
            size += piece.count
        }
        return OCI.Descriptor(mediaType: OCI.layerType, digest: try Digest(finishing: hash), size: size)
    }
}

/// The bytes of an archive, one piece after the other.
///
/// `@unchecked Sendable`: each piece is awaited before the next is asked for, so never two threads at once.
private final class ArchivePieces: @unchecked Sendable {
    static let pieceSize = 512 << 10

    private var head: [UInt8]?
    private let layer: RootDiskTar
    private let size: Int
    private var done = 0
    private var hasEnded = false

    init(head: [UInt8], layer: RootDiskTar, size: Int) {
        self.head = head
        self.layer = layer
        self.size = size
    }

    func next() async throws -> [UInt8]? {
        guard !hasEnded else { return nil }
        if let head {
            self.head = nil
            return head
        }
        do {
            let piece = try await Blocking.short { [self] in try layer.next(Self.pieceSize) }
            done += piece.count
            guard piece.isEmpty else { return piece }
            guard done == size else { throw DecodingFailure("it has changed meanwhile") }
            hasEnded = true
            return [UInt8](repeating: 0, count: TarMember.padding(after: size)) + TarMember.end
        } catch let failure as DecodingFailure {
            throw Self.damaged(failure)
        }
    }

    static func damaged(_ failure: DecodingFailure) -> AgentError {
        AgentError(
            .internal,
            code: "damaged_disk",
            "the image's root disk is damaged (\(failure)); remove the image and pull it again"
        )
    }
}

import AgentCore
import Glibc
import SystemPackage

/// Imports the tar of a root filesystem as an image of one layer, with an empty configuration or another image's.
///
/// The manifest is made from the digest of the unpacked tar, so that the same root filesystem is the same image however
/// it is compressed.
struct RootFilesystemImport {
    private let work: ArchiveImport

    init(_ work: ArchiveImport) { self.work = work }

    func run(_ catalog: ArchiveCatalog, compression: LayerBlob.Compression, digest: Digest, size: Int) throws
        -> FetchedImage
    {
        try catalog.checkEnd()
        let store = work.store
        let configuration = try configuration(of: catalog.digest)
        let document = try OCI.ConfigurationDocument(parsing: configuration)
        let manifest = OCI.Manifest(
            mediaType: OCI.manifestType,
            config: OCI.Descriptor(
                mediaType: OCI.configurationType,
                digest: try store.put(configuration),
                size: configuration.count
            ),
            layers: [OCI.Descriptor(mediaType: OCI.layerType, digest: catalog.digest, size: catalog.size)]
        )
        let manifestDigest = try store.put(try OCI.encode(manifest))
        store.want([digest])
        do {
            if try store.size(of: digest) == nil { try keep(digest, size: size) }
        } catch {
            store.unwant([digest])
            throw error
        }
        let layer = LayerBlob(
            path: store.blobPath(digest),
            compression: compression,
            size: size,
            diffID: catalog.digest
        )
        return FetchedImage(digest: manifestDigest, configuration: document.configuration, layers: [layer])
    }

    private func configuration(of layer: Digest) throws -> [UInt8] {
        guard let base = work.base else {
            return try OCI.encode(OCI.ConfigurationDocument(platform: work.platform, diffIDs: [layer]))
        }
        guard let former = try work.store.configuration(of: base) else {
            throw AgentError(.notFound, "the configuration of the image \(base) is not here; pull or import it again")
        }
        return try OCI.ConfigurationDocument.rewrite(former, layer: layer, madeBy: "hypeman commit")
    }

    /// An archive that was received into the store is the blob already; any other file is copied.
    private func keep(_ digest: Digest, size: Int) throws {
        if work.store.isIncoming(work.archive) {
            try Files.sync(work.archive)
            return try work.store.adopt(work.archive, as: digest)
        }
        let file = try BlobFile(in: work.store)
        do {
            let source = try FileSource(work.archive, cancellation: work.cancellation)
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
            defer { buffer.deallocate() }
            while true {
                let count = try source.read(into: buffer)
                if count == 0 { break }
                try file.append(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            }
            // Also finds out whether the file changed meanwhile.
            try file.keep(as: digest, size: size)
        } catch {
            file.discard()
            throw error
        }
    }
}

import AgentCore
import SystemPackage
import Tar

/// The members of an uncompressed archive, by name.
struct ArchiveContents {
    let path: FilePath
    let catalog: ArchiveCatalog
    let store: ContentStore
    let cancellation: Cancellation

    /// A document, whole.
    func document(_ name: String) throws -> [UInt8] {
        let (offset, size) = try catalog.file(name)
        guard size <= OCI.maximumDocument else { throw DecodingFailure("'\(name)' is \(size) bytes long") }
        let reader = BufferedReader(try FileSource(path, offset: offset, count: size, cancellation: cancellation))
        return try reader.bytes(size)
    }

    /// A document of an OCI layout, verified.
    func document(_ digest: Digest) throws -> [UInt8] {
        let bytes = try document("blobs/sha256/\(digest.hex)")
        let actual = try Digest(of: bytes)
        guard actual == digest else {
            throw AgentError(
                .invalidArgument,
                code: "digest_mismatch",
                "blob \(digest) of the archive has other contents, of digest \(actual)"
            )
        }
        return bytes
    }

    /// Copies a member to the store.
    ///
    /// - Parameters:
    ///   - name: The member.
    ///   - digest: What its contents must be; nil takes what they are.
    ///   - size: How long it must be.
    /// - Returns: Its digest and size.
    /// - Throws: ``AgentError`` with code `digest_mismatch`.
    func copyBlob(_ name: String, as digest: Digest?, size: Int? = nil) throws -> (digest: Digest, size: Int) {
        let (offset, actualSize) = try catalog.file(name)
        if let digest, try store.size(of: digest) == actualSize, size == nil || size == actualSize {
            return (digest, actualSize)
        }
        let source = try FileSource(path, offset: offset, count: actualSize, cancellation: cancellation)
        let file = try BlobFile(in: store)
        do {
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
            defer { buffer.deallocate() }
            while true {
                let count = try source.read(into: buffer)
                if count == 0 { break }
                try file.append(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            }
            guard let digest else { return (try file.keep(), actualSize) }
            try file.keep(as: digest, size: size)
            return (digest, actualSize)
        } catch {
            file.discard()
            throw error
        }
    }
}

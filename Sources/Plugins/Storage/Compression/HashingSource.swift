import AgentCore
import Tar

import struct Crypto.SHA256

/// Hashes what is read through it.
final class HashingSource: ByteSource {
    private let source: any ByteSource
    private var hash = SHA256()
    private(set) var count = 0

    init(_ source: any ByteSource) { self.source = source }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        let read = try source.read(into: buffer)
        hash.update(bufferPointer: UnsafeRawBufferPointer(rebasing: buffer[..<read]))
        count += read
        return read
    }

    /// Of all that was read so far.
    func digest() throws -> Digest { try Digest(finishing: hash) }

    /// Of all that `next` gives before it gives nothing.
    static func digest(_ next: () throws -> UnsafeRawBufferPointer) throws -> Digest {
        var hash = SHA256()
        while true {
            let bytes = try next()
            if bytes.isEmpty { return try Digest(finishing: hash) }
            hash.update(bufferPointer: bytes)
        }
    }
}

extension Digest {
    /// The digest of what was hashed.
    init(finishing hash: SHA256) throws {
        guard let digest = Digest(sha256: Array(hash.finalize())) else {
            throw AgentError(.internal, "SHA-256 did not give 32 bytes")
        }
        self = digest
    }

    /// The digest of bytes in memory.
    init(of bytes: [UInt8]) throws {
        var hash = SHA256()
        hash.update(data: bytes)
        try self.init(finishing: hash)
    }
}

import AgentCore
import Glibc
import SystemPackage

import struct Crypto.SHA256

/// A blob that is being received: written to `incoming` and hashed on the way.
///
/// Used by one thread at a time; whoever made it calls ``keep(as:size:)`` or ``discard()``.
final class BlobFile {
    private let store: ContentStore
    private let path: FilePath
    private let descriptor: FileDescriptor
    private var hash = SHA256()
    private(set) var count = 0

    init(in store: ContentStore) throws {
        self.store = store
        let path = store.temporaryPath("blob")
        self.path = path
        descriptor = try Files.translating("cannot make \(path)") {
            try FileDescriptor.open(
                path,
                .writeOnly,
                options: [.create, .exclusiveCreate, .closeOnExec],
                permissions: [.ownerReadWrite]
            )
        }
    }

    deinit {
        close(descriptor.rawValue)
    }

    func append(_ bytes: UnsafeRawBufferPointer) throws {
        try store.budget.charge(bytes.count)
        hash.update(bufferPointer: bytes)
        try Files.translating("cannot write \(path)") { try Files.write(bytes, to: descriptor, at: count) }
        count += bytes.count
    }

    /// Starts again from nothing.
    func reset() throws {
        try Files.translating("cannot cut \(path)") { try Files.check(ftruncate(descriptor.rawValue, 0)) }
        hash = SHA256()
        count = 0
    }

    /// Verifies the contents and gives them their name; the file is gone if they are wrong.
    ///
    /// - Throws: ``AgentError`` `invalidArgument` with code `digest_mismatch`.
    func keep(as digest: Digest, size: Int? = nil) throws {
        do {
            let actual = try Digest(finishing: hash)
            guard actual == digest, size == nil || size == count else {
                throw AgentError(
                    .invalidArgument,
                    code: "digest_mismatch",
                    "blob \(digest) has other contents: \(count) bytes\(size.map { " of \($0)" } ?? "") with digest \(actual)"
                )
            }
            try keep(verified: digest)
        } catch {
            discard()
            throw error
        }
    }

    /// Gives the contents the name of their own digest.
    func keep() throws -> Digest {
        let digest = try Digest(finishing: hash)
        try keep(verified: digest)
        return digest
    }

    private func keep(verified digest: Digest) throws {
        try Files.translating("cannot sync \(path)") { try Files.check(fsync(descriptor.rawValue)) }
        try store.adopt(path, as: digest)
    }

    func discard() { unlink(path.string) }
}

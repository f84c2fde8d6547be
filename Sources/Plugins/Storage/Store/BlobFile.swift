import AgentCore
import Glibc
import SystemPackage

import struct Crypto.SHA256

/// A blob that is being received: written to `incoming` and hashed on the way.
///
/// Used by one thread at a time; whoever made it calls ``keep(as:size:)``, ``suspend()`` or ``discard()``.
final class BlobFile {
    private let store: ContentStore
    /// Where it is until it is kept.
    let path: FilePath
    private let descriptor: FileDescriptor
    private var hash = SHA256()
    private(set) var count = 0
    /// What it is a part of, and nobody else writes a part of at the same time.
    private let claim: Digest?

    init(in store: ContentStore) throws {
        self.store = store
        let path = store.temporaryPath("blob")
        self.path = path
        claim = nil
        descriptor = try Files.translating("cannot make \(path)") {
            try FileDescriptor.open(
                path,
                .writeOnly,
                options: [.create, .exclusiveCreate, .closeOnExec],
                permissions: [.ownerReadWrite]
            )
        }
    }

    /// Goes on where an earlier one for the same digest was suspended, or lost with its process.
    ///
    /// What is there is hashed, so that this takes as long as it is large.
    convenience init(resuming digest: Digest, size: Int, in store: ContentStore, _ cancellation: Cancellation) throws {
        // Of two downloads of the same blob at once, the second works for itself.
        guard store.claimPartial(digest) else {
            try self.init(in: store)
            return
        }
        try self.init(claimed: digest, in: store)
        try Files.translating("cannot read \(path)") {
            var buffer = [UInt8](repeating: 0, count: 1 << 20)
            while count <= size {
                try cancellation.check()
                let read = try buffer.withUnsafeMutableBytes {
                    try descriptor.read(fromAbsoluteOffset: Int64(count), into: $0)
                }
                guard read > 0 else { return }
                buffer.withUnsafeBytes { hash.update(bufferPointer: UnsafeRawBufferPointer(rebasing: $0[..<read])) }
                count += read
            }
        }
        if count > size { try reset() }
    }

    private init(claimed digest: Digest, in store: ContentStore) throws {
        self.store = store
        let path = store.partialPath(digest)
        self.path = path
        do {
            descriptor = try Files.translating("cannot open \(path)") {
                try FileDescriptor.open(
                    path,
                    .readWrite,
                    options: [.create, .closeOnExec, .noFollow],
                    permissions: [.ownerReadWrite]
                )
            }
        } catch {
            store.releasePartial(digest)
            throw error
        }
        claim = digest
    }

    deinit {
        close(descriptor.rawValue)
        if let claim { store.releasePartial(claim) }
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

    /// Compares the contents with what they should be.
    ///
    /// - Throws: ``AgentError`` `invalidArgument` with code `digest_mismatch`.
    func verify(as digest: Digest, size: Int? = nil) throws {
        let actual = try Digest(finishing: hash)
        guard actual == digest, size == nil || size == count else {
            throw AgentError(
                .invalidArgument,
                code: "digest_mismatch",
                "blob \(digest) has other contents: \(count) bytes\(size.map { " of \($0)" } ?? "") with digest \(actual)"
            )
        }
    }

    /// Verifies the contents and gives them their name; the file is gone if they are wrong.
    ///
    /// - Throws: ``AgentError`` `invalidArgument` with code `digest_mismatch`.
    func keep(as digest: Digest, size: Int? = nil) throws {
        do {
            try verify(as: digest, size: size)
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

    /// Ends this work on it; what is there stays for ``init(resuming:size:in:_:)``, if that can find it.
    func suspend() {
        if claim == nil || count == 0 { discard() }
    }
}

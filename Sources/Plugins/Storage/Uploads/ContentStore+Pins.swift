import AgentCore
import Foundation
import Glibc
import Synchronization
import SystemPackage

/// Blobs that were pushed and are kept although nothing refers to them yet.
///
/// A mark is an empty file with the time of the last push that named the blob, so that a push goes on after a restart of
/// the agent. Marks are made and looked at under the lock of ``holds``: whoever was told that a blob is here does not
/// lose it in the same moment.
extension ContentStore {
    /// Keeps a blob that is here for the retention from now on.
    ///
    /// - Returns: Its size; nil if it is not here.
    func pin(_ digest: Digest) throws -> Int? {
        try holds.withLock { _ in
            guard let size = try size(of: digest) else { return nil }
            try mark(digest)
            return size
        }
    }

    /// Keeps a blob that `bring` is about to put here.
    func pin(_ digest: Digest, bring: () throws -> Void) throws {
        try holds.withLock { _ in try mark(digest) }
        do {
            try bring()
        } catch {
            // A mark without a blob costs a file until it expires; one on a blob of others must stay.
            if try size(of: digest) == nil { try Files.remove(markPath(digest)) }
            throw error
        }
    }

    func isPinned(_ digest: Digest) -> Bool {
        do {
            return try Files.status(markPath(digest)).map(isFresh) ?? false
        } catch {
            // What cannot be looked at is kept: to keep too much costs space, to keep too little a push.
            return true
        }
    }

    /// Removes the marks that are too old; true if there were any.
    func expirePins() throws -> Bool {
        var expired = false
        for name in try Files.names(in: kept) {
            expired =
                try holds.withLock { _ in
                    let path = kept.appending(name)
                    guard let status = try Files.status(path), !isFresh(status) else { return false }
                    return try Files.remove(path)
                } || expired
        }
        return expired
    }

    private func markPath(_ digest: Digest) -> FilePath { kept.appending(digest.hex) }

    private func mark(_ digest: Digest) throws {
        let path = markPath(digest)
        try Files.translating("cannot make \(path)") {
            let file = try FileDescriptor.open(
                path,
                .writeOnly,
                options: [.create, .closeOnExec],
                permissions: [.ownerReadWrite]
            )
            try file.closeAfter { try Files.check(futimens(file.rawValue, nil)) }
        }
    }

    private func isFresh(_ status: stat) -> Bool {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        let age = Duration.seconds(now.tv_sec - status.st_mtim.tv_sec)
        // A mark from the future is one from before the clock was set back; it lives no longer than others from then.
        return age < retention && age > .zero - retention
    }
}

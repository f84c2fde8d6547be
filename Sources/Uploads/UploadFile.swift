import AgentCore
public import Logging
public import NIOPosix
public import SystemPackage

#if canImport(Glibc)
import Glibc
#else
import Musl
#endif

/// A file that an archive of any size is received into, by threads that may block.
public struct UploadFile: Sendable {
    private let file: SystemPackage.FileDescriptor
    private let threads: NIOThreadPool

    /// Opens a file, calls `use` with it, and closes it.
    ///
    /// - Parameters:
    ///   - path: The file, which is made if it is not there.
    ///   - threads: Those that may block.
    ///   - use: Appends what is received.
    /// - Returns: What `use` does.
    /// - Throws: What `use` does, or if the file cannot be opened or closed.
    public static func with<Result: Sendable>(
        _ path: FilePath,
        on threads: NIOThreadPool,
        _ use: (UploadFile) async throws -> Result
    ) async throws -> Result {
        let file = try await threads.runIfActive {
            try SystemPackage.FileDescriptor.open(
                path,
                .writeOnly,
                options: [.create, .closeOnExec],
                permissions: .ownerReadWrite
            )
        }
        do {
            let result = try await use(UploadFile(file: file, threads: threads))
            try await threads.runIfActive { try file.close() }
            return result
        } catch {
            // What went wrong before is what counts.
            _ = try? await regardless(on: threads) { try file.close() }
            throw error
        }
    }

    /// Runs what has to be done also in a task that was cancelled, whose work the threads refuse.
    private static func regardless(
        on threads: NIOThreadPool,
        _ body: @escaping @Sendable () throws -> Void
    ) async throws {
        try await Task { try await threads.runIfActive(body) }.value
    }

    /// Removes one that nothing came of, also in a task that was cancelled; what goes wrong is in the log.
    public static func discard(_ path: FilePath, on threads: NIOThreadPool, _ logger: Logger) async {
        do {
            try await regardless(on: threads) {
                guard unlink(path.string) != 0, errno != ENOENT else { return }
                throw Errno(rawValue: errno)
            }
        } catch {
            logger.warning("cannot remove a broken upload", metadata: ["path": "\(path)", "error": "\(error)"])
        }
    }

    /// Writes behind what was written before.
    ///
    /// - Throws: `storageFull`.
    public func append(_ bytes: some Sequence<UInt8> & Sendable) async throws {
        do {
            try await threads.runIfActive { _ = try file.writeAll(bytes) }
        } catch let error as Errno where error == .noSpace || error == .diskQuotaExceeded {
            throw AgentError(.storageFull, "the host's disk is full: the archive could not be received")
        }
    }
}

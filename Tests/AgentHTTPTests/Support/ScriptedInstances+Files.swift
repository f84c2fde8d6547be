import AgentCore
import AgentHTTP
import Foundation
import Glibc
import GuestProtocol
import Synchronization
import SystemPackage
import Tar
import TarTree

/// Copies with a directory of this host in the place of a guest: what a guest would do with its files is done with them.
extension ScriptedInstances {
    func pathStatus(
        _ reference: String,
        _ request: GuestPathRequest,
        patience: Duration
    ) async throws -> GuestPathStatus {
        let path = try prepare(reference, request.path)
        var status = stat()
        guard (request.followsLink ? stat(path, &status) : lstat(path, &status)) == 0 else {
            guard errno == ENOENT else {
                throw GuestFilesResult.Failure(
                    reason: errno == ENOTDIR ? "not_a_directory" : "other",
                    path: request.path,
                    message: "cannot look at '\(request.path)'"
                ).error
            }
            return .nothing
        }
        let kinds: [mode_t: GuestPathStatus.Kind] = [
            S_IFREG: .file, S_IFDIR: .directory, S_IFLNK: .symbolicLink,
        ]
        let kind = kinds[status.st_mode & S_IFMT] ?? .other
        return GuestPathStatus(
            realPath: kind == .symbolicLink ? request.path : inside(path),
            kind: kind,
            mode: Int(status.st_mode & 0o7777),
            size: Int(status.st_size),
            owner: Int(status.st_uid),
            group: Int(status.st_gid),
            modifiedSeconds: status.st_mtim.tv_sec,
            modifiedNanoseconds: status.st_mtim.tv_nsec,
            linkTarget: kind == .symbolicLink
                ? try FileManager.default.destinationOfSymbolicLink(atPath: path) : nil
        )
    }

    func copyFrom(
        _ reference: String,
        _ request: GuestReadRequest,
        patience: Duration
    ) async throws -> AsyncThrowingStream<GuestArchiveEvent, any Error> {
        let path = try prepare(reference, request.path)
        let pieces = AsyncChunkQueue()
        let outcome = Mutex<Result<[String], any Error>?>(nil)
        let state = Shared(outcome)
        try TreeThread.start {
            let result = Result {
                let archiver = TreeArchiver(wholeFiles: request.wholeFiles) { try pieces.queue.put($0) }
                try archiver.archive(path, followsLink: request.followsLink, as: request.name)
                return archiver.warnings.messages
            }
            state.outcome.withLock { $0 = result }
            pieces.queue.finish()
        }
        return AsyncThrowingStream {
            if let piece = try await pieces.next() { return .bytes(piece) }
            switch state.outcome.withLock({ outcome in
                defer { outcome = nil }
                return outcome
            }) {
            case .success(let warnings): return .finished(GuestFilesResult(warnings: warnings))
            case .failure(let failure as TreeFailure): throw Self.error(failure)
            case .failure(let error): throw error
            case nil: return nil
            }
        }
    }

    func copyTo(
        _ reference: String,
        _ request: GuestWriteRequest,
        patience: Duration
    ) async throws -> any GuestArchiveInput {
        DirectoryInput(request, path: try prepare(reference, request.path))
    }

    private final class Shared: Sendable {
        let outcome: Mutex<Result<[String], any Error>?>
        init(_ outcome: consuming Mutex<Result<[String], any Error>?>) { self.outcome = outcome }
    }

    private func prepare(_ reference: String, _ path: String) throws -> String {
        _ = try get(reference)
        return try script.withLock { script in
            script.fileRequests.append(path)
            if let failure = script.filesFailure { throw failure }
            guard let root = script.files else { throw AgentError(.notSupported, code: "guest_too_old", "no files") }
            return root.string + path
        }
    }

    private func inside(_ path: String) -> String {
        guard let root = script.withLock({ $0.files }), let real = realpath(path, nil),
            let top = realpath(root.string, nil)
        else { return path }
        defer {
            free(real)
            free(top)
        }
        let below = String(cString: real).dropFirst(String(cString: top).count)
        return below.isEmpty ? "/" : String(below)
    }

    fileprivate static func error(_ failure: TreeFailure) -> AgentError {
        GuestFilesResult.Failure(reason: failure.reason.rawValue, path: failure.path, message: failure.message).error
    }
}

/// An archive that is unpacked in a directory of this host's.
private final class DirectoryInput: GuestArchiveInput {
    private let pieces = AsyncChunkQueue()
    private let unpacked: Task<GuestFilesResult, any Error>

    init(_ request: GuestWriteRequest, path: String) {
        unpacked = Task { [pieces] in
            defer { pieces.queue.cancel() }
            do {
                return try await TreeThread.run {
                    var options = TreeExtractor.Options()
                    options.keepsOwners = request.keepsOwners
                    let extractor = try TreeExtractor(into: path, options)
                    let source = QueueSource(pieces.queue)
                    guard let file = request.file else {
                        let summary = try extractor.extract(source)
                        return GuestFilesResult(members: summary.members, bytes: summary.bytes)
                    }
                    var entry = TarEntry(kind: file.isDirectory ? .directory : .file, name: Array(file.name.utf8))
                    entry.mode = UInt16(file.mode)
                    entry.owner = UInt32(file.owner)
                    entry.group = UInt32(file.group)
                    let summary = try extractor.write(entry, contents: source)
                    return GuestFilesResult(members: summary.members, bytes: summary.bytes)
                }
            } catch let failure as TreeFailure {
                throw ScriptedInstances.error(failure)
            }
        }
    }

    func write(_ bytes: [UInt8]) async throws { try await pieces.send(bytes) }

    func finish() async throws -> GuestFilesResult {
        pieces.queue.finish()
        return try await unpacked.value
    }

    func cancel() async {
        pieces.queue.cancel()
        _ = try? await unpacked.value
    }
}

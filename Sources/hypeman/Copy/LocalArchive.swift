import Foundation
import Synchronization
import TarTree

/// The archive of files here, made as fast as it is wanted.
final class LocalArchive: Sendable {
    private let pieces = AsyncChunkQueue()
    private let outcome = Mutex<Result<[String], TreeFailure>?>(nil)

    /// Begins to read.
    ///
    /// - Parameters:
    ///   - path: What to archive.
    ///   - followsLink: Whether a symbolic link stands for its target.
    ///   - name: What it is called in the archive.
    /// - Throws: If there cannot be another thread; what is wrong with the files is thrown by ``next()``.
    init(of path: String, followsLink: Bool, as name: String?) throws {
        try TreeThread.start { [self] in
            let archiver = TreeArchiver { [pieces] in try pieces.queue.put($0) }
            do {
                try archiver.archive(path, followsLink: followsLink, as: name)
                outcome.withLock { $0 = .success(archiver.warnings.messages) }
            } catch let failure as TreeFailure {
                outcome.withLock { $0 = .failure(failure) }
            } catch {
                // Nobody wants it any more.
                pieces.queue.cancel()
            }
            pieces.queue.finish()
        }
    }

    /// What was left out, once all was read.
    var warnings: [String] { outcome.withLock { try? $0?.get() } ?? [] }

    /// The next piece, nil at the end.
    func next() async throws -> [UInt8]? {
        if let piece = try await pieces.next() { return piece }
        if case .failure(let failure) = outcome.withLock({ $0 }) { throw CommandError(failure.message) }
        return nil
    }

    /// Stops reading.
    func cancel() { pieces.queue.cancel() }
}

/// Unpacks an archive of an instance's, which is hostile.
enum LocalExtraction {
    /// Unpacks what `receive` gets.
    ///
    /// - Parameters:
    ///   - directory: Below which it goes, and nowhere else.
    ///   - options: What is taken over.
    ///   - receive: Gets the archive and gives each piece to what it is given.
    /// - Returns: What `receive` does, and what was left out.
    /// - Throws: What `receive` throws; what is wrong with the archive or the files here. No half of a file is left.
    static func unpack<Result: Sendable>(
        into directory: String,
        _ options: TreeExtractor.Options,
        _ receive:
            @escaping @Sendable (_ take: @escaping @Sendable ([UInt8]) async throws -> Void) async throws -> Result
    ) async throws -> (Result, warnings: [String]) {
        let pieces = AsyncChunkQueue()
        return try await withThrowingTaskGroup(of: (Result?, [String]?).self) { group in
            group.addTask {
                do {
                    let summary = try await TreeThread.run {
                        try TreeExtractor(into: directory, options).extract(QueueSource(pieces.queue))
                    }
                    return (nil, summary.warnings.messages)
                } catch let failure as TreeFailure {
                    throw CommandError(failure.message)
                }
            }
            group.addTask {
                let result = try await receive { try await pieces.send($0) }
                pieces.queue.finish()
                return (result, nil)
            }
            do {
                var (result, warnings): (Result?, [String]?) = (nil, nil)
                while let next = try await group.next() {
                    (result, warnings) = (next.0 ?? result, next.1 ?? warnings)
                }
                guard let result, let warnings else { throw CancellationError() }
                return (result, warnings)
            } catch {
                // The thread waits for pieces, not for its task.
                pieces.queue.cancel()
                throw error
            }
        }
    }
}

import AgentCore
import Synchronization
import SystemPackage

/// How much of the host's disk images may take.
///
/// What they take is measured, by the blocks of their files: nothing that could be counted beside the files would still
/// be true after a crash, or where files have holes. Between two measurements what is written is added up, so that the
/// limit is never passed and a measurement is rarely made.
final class StorageBudget: Sendable {
    private struct State {
        /// The newest measurement.
        var measured: Int?
        /// Written since, by everybody.
        var written = 0
    }

    /// A measurement is not used for more than this.
    private static let step = 64 << 20

    /// nil is without a limit.
    let limit: ByteSize?
    private let directories: [FilePath]
    private let state = Mutex(State())

    /// - Parameters:
    ///   - limit: The most that all files may take.
    ///   - directories: Where they are; each directly in one of these.
    init(limit: ByteSize?, directories: [FilePath]) {
        self.limit = limit
        self.directories = directories
    }

    /// Asks whether so much more may be written, and counts it as written; measures.
    ///
    /// - Throws: ``AgentError`` `storageFull` with code `image_storage_full`.
    func require(_ bytes: Int) throws {
        guard let limit else { return }
        let used = try measure()
        guard used <= limit.bytes, bytes <= limit.bytes - used else {
            throw AgentError(
                .storageFull,
                code: "image_storage_full",
                "images take \(ByteSize(bytes: used)) of the \(limit) that MAX_IMAGE_STORAGE allows, and this needs "
                    + "\(ByteSize(bytes: bytes)) more; remove images with 'hypeman rmi' or 'hypeman image prune', "
                    + "or raise the limit"
            )
        }
        state.withLock { $0 = State(measured: used, written: bytes) }
    }

    /// Counts what is going to be written; cheap enough for every write.
    ///
    /// - Throws: As ``require(_:)``.
    func charge(_ bytes: Int) throws {
        guard let limit else { return }
        let fits = state.withLock { state in
            guard let measured = state.measured, state.written + bytes <= Self.step,
                measured + state.written + bytes <= limit.bytes
            else { return false }
            state.written += bytes
            return true
        }
        guard !fits else { return }
        try require(bytes)
    }

    private func measure() throws -> Int {
        try directories.reduce(0) { sum, directory in
            try Files.names(in: directory).reduce(sum) { try $0 + Files.allocated(directory.appending($1)) }
        }
    }
}

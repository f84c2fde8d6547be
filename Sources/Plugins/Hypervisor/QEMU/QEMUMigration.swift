import AgentCore
import CLinux
import Glibc
import NIOPosix
import SystemPackage

/// A machine's memory and devices on their way to a file or from it, which is QEMU's migration (docs/devel/migration.rst
/// of QEMU): the agent opens the file, so that QEMU needs no right to.
struct QEMUMigration {
    /// The name of the file in a snapshot's directory.
    static let fileName = "memory"
    /// What QEMU knows the descriptor by.
    private static let descriptorName = "snapshot"
    /// QEMU slows itself down for networks, to 128 MiB/s where nobody says otherwise; this is more than any disk's.
    private static let bandwidth = 1 << 40

    let control: QMPClient
    let instance: InstanceID

    /// The answer to query-migrate, as far as it is used.
    private struct Status: Decodable, Sendable {
        var status: String?
        var reason: String?

        enum CodingKeys: String, CodingKey {
            case status
            case reason = "error-desc"
        }

        /// Also before QEMU has said anything of it.
        var isUnderWay: Bool { !["completed", "failed", "cancelled"].contains(status ?? "") }
    }

    /// Writes to a directory; the file is on disk when this returns.
    ///
    /// - Throws: `storageFull`, `unavailable`; QEMU has given up writing then, unless the connection to it is lost.
    func save(to directory: SnapshotDirectory) async throws {
        let path = directory.path.appending(Self.fileName)
        let file = try await Self.open(path, .writeOnly, [.create, .exclusiveCreate])
        do {
            try await control.execute("migrate-set-parameters", ["max-bandwidth": Self.bandwidth])
            try await control.give(file, as: Self.descriptorName)
            try await control.execute("migrate", ["uri": "fd:\(Self.descriptorName)"])
            let end = try await untilItEnds {
                // The disk writes while QEMU does, and little is left to wait for at the end.
                try await NIOThreadPool.singleton.runIfActive {
                    _ = clinux_start_writeback(file.rawValue, 0, 0)
                }
            }
            guard end.status == "completed" else { throw failure(end, directory) }
            try await NIOThreadPool.singleton.runIfActive {
                guard fsync(file.rawValue) == 0 else { throw Self.error(Errno(rawValue: errno), path) }
            }
        } catch {
            await cancel()
            try? file.close()
            throw error
        }
        try file.close()
    }

    /// Reads from a directory; the vCPUs stand still afterwards.
    ///
    /// - Throws: If it can't be read QEMU exits, and the connection to it is lost.
    func load(from directory: SnapshotDirectory) async throws {
        let path = directory.path.appending(Self.fileName)
        let file = try await Self.open(path, .readOnly, [])
        defer { try? file.close() }
        try await control.give(file, as: Self.descriptorName)
        try await control.execute("migrate-incoming", ["uri": "fd:\(Self.descriptorName)"])
        let end = try await untilItEnds()
        guard end.status == "completed" else {
            throw Self.unreadable(instance, end.reason ?? "its migration ended as \(end.status ?? "nothing")")
        }
    }

    static func unreadable(_ instance: InstanceID, _ words: String) -> AgentError {
        AgentError(
            .invalidState,
            code: "snapshot_unreadable",
            "QEMU cannot take up the saved memory of instance \(instance): \(words)"
        )
    }

    /// Asks again and again: QEMU's event says only that something changed, and can be lost with a connection.
    ///
    /// - Parameter body: Done each time that it is still under way.
    /// - Returns: How it ended.
    /// - Throws: What `body` throws, or `unavailable` where QEMU does not answer.
    private func untilItEnds(_ body: () async throws -> Void = {}) async throws -> Status {
        let pause = PollingPause()
        while true {
            let status = try await status()
            guard status.isUnderWay else { return status }
            try await body()
            try await pause.sleep()
        }
    }

    private func status() async throws -> Status {
        try await control.execute("query-migrate", QMPNothing?.none, returning: Status.self)
    }

    /// Also for a caller that was cancelled: the machine must be able to go on.
    private func cancel() async {
        let migration = self
        await Task {
            do {
                let status = try await migration.status()
                guard status.status != nil, status.isUnderWay else { return }
                try await migration.control.execute("migrate_cancel")
                _ = try await withDeadline(.seconds(10), "") { try await migration.untilItEnds() }
            } catch {
                // A QEMU that does not answer shows it at the next command.
            }
        }.value
    }

    private func failure(_ end: Status, _ directory: SnapshotDirectory) -> AgentError {
        let words = end.reason ?? "its migration ended as \(end.status ?? "nothing")"
        var room = statvfs()
        // QEMU does not always say why a write failed.
        let isFull = statvfs(directory.path.string, &room) == 0 && room.f_bavail < 256
        guard isFull || words.contains("No space left on device") else {
            return AgentError(
                .unavailable,
                code: "vmm_refused",
                "QEMU cannot save the memory of instance \(instance): \(words)"
            )
        }
        return Self.error(.noSpace, directory.path)
    }

    private static func error(_ errno: Errno, _ path: FilePath) -> AgentError {
        guard errno == .noSpace || errno == .diskQuotaExceeded else {
            return AgentError(.internal, code: "storage_error", "cannot write \(path)", cause: errno)
        }
        return AgentError(
            .storageFull,
            "there is no room for the memory in \(path): the host's disk is full; free some space and try again"
        )
    }

    private static func open(
        _ path: FilePath,
        _ mode: SystemPackage.FileDescriptor.AccessMode,
        _ options: SystemPackage.FileDescriptor.OpenOptions
    ) async throws -> SystemPackage.FileDescriptor {
        try await NIOThreadPool.singleton.runIfActive {
            do {
                return try SystemPackage.FileDescriptor.open(
                    path,
                    mode,
                    options: options.union([.closeOnExec, .noFollow]),
                    permissions: .ownerReadWrite
                )
            } catch let errno as Errno where mode == .readOnly {
                throw AgentError(.invalidState, code: "snapshot_unreadable", "cannot open \(path)", cause: errno)
            } catch let errno as Errno {
                throw error(errno, path)
            }
        }
    }
}

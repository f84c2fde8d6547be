import AgentCore
import Glibc
import Subprocess
import SystemPackage

/// The programs of e2fsprogs, for an ext4 in a file.
enum Ext4Tools {
    /// Makes a new file of nothing but a hole.
    static func makeSparse(_ path: FilePath, size: ByteSize) throws {
        do {
            try Files.translating("cannot make \(path)") {
                let file = try FileDescriptor.open(
                    path,
                    .writeOnly,
                    options: [.create, .truncate, .closeOnExec],
                    permissions: [.ownerReadWrite]
                )
                try file.closeAfter { try Files.check(ftruncate(file.rawValue, size.bytes)) }
            }
        } catch {
            unlink(path.string)
            throw error
        }
    }

    /// Makes the file system.
    ///
    /// - Parameters:
    ///   - path: A file of the size that it is to have.
    ///   - subject: What it is, for messages: "the overlay of …".
    /// - Throws: ``AgentError`` `storageFull`, `unavailable` without mkfs.ext4.
    static func makeFileSystem(_ path: FilePath, for subject: String) async throws {
        // Tables and journal are left to the guest's kernel, which keeps the file small; no blocks for root alone.
        let options = ["-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=1,discard", path.string]
        let result = try await run("mkfs.ext4", options, for: "make \(subject)")
        guard result.code != 0 else { return }
        throw failure("mkfs.ext4", result, "cannot make \(subject)")
    }

    /// Replays the journal of one that was not unmounted, and nothing else.
    static func replayJournal(_ path: FilePath, of subject: String) async throws {
        let result = try await run("e2fsck", ["-p", "-E", "journal_only", path.string], for: "replay \(subject)")
        guard !isClean(result) else { return }
        throw failure("e2fsck", result, "the journal of \(subject) cannot be replayed", damage: true)
    }

    /// Checks one, and repairs what can be without a decision.
    static func check(_ path: FilePath, of subject: String) async throws {
        let result = try await run("e2fsck", ["-f", "-p", path.string], for: "check \(subject)")
        guard !isClean(result) else { return }
        throw failure(
            "e2fsck",
            result,
            "the file system of \(subject) is damaged, and can be repaired in a guest",
            damage: true
        )
    }

    /// Lets one that was just checked fill its file.
    static func grow(_ path: FilePath, of subject: String) async throws {
        let result = try await run("resize2fs", [path.string], for: "grow \(subject)")
        guard result.code != 0 else { return }
        throw failure("resize2fs", result, "cannot grow \(subject)")
    }

    /// Removes `lost+found` if it is empty; what e2fsck wants in it, it makes anew.
    ///
    /// By debugfs and not in this process: a guest has written to it.
    static func removeLostAndFound(_ path: FilePath, of subject: String) async throws {
        // A directory that is not empty stays, and is no failure.
        _ = try await run("debugfs", ["-w", "-R", "rmdir lost+found", path.string], for: "tidy \(subject)")
    }

    private struct Outcome {
        /// nil if a signal ended it.
        var code: Int32?
        var words: String
    }

    /// 1 says that something was corrected (e2fsck(8)).
    private static func isClean(_ result: Outcome) -> Bool { result.code == 0 || result.code == 1 }

    private static func run(_ program: String, _ arguments: [String], for purpose: String) async throws -> Outcome {
        let environment = Environment.inherit.updating([
            // Where they are, also for a user whose PATH leaves it out; messages that can be told apart.
            "PATH": (Glibc.getenv("PATH").map { String(cString: $0) + ":" } ?? "") + "/usr/sbin:/sbin", "LC_ALL": "C",
        ])
        let result: ExecutionResult<Void, StringOutput<UTF8>, StringOutput<UTF8>>
        do {
            result = try await Subprocess.run(
                .name(program),
                arguments: Arguments(arguments),
                environment: environment,
                output: .string(limit: 64 << 10),
                error: .string(limit: 64 << 10)
            )
        } catch {
            if Task.isCancelled { throw AgentError(.cancelled, "to \(purpose) was cancelled") }
            throw AgentError(.unavailable, "\(program) cannot be run; install e2fsprogs", cause: error)
        }
        let words = (result.standardError + " " + result.standardOutput).trimmingPrefix { $0.isWhitespace }
        guard case .exited(let code) = result.terminationStatus else { return Outcome(code: nil, words: String(words)) }
        return Outcome(code: code, words: String(words.prefix(500)))
    }

    private static func failure(
        _ program: String,
        _ result: Outcome,
        _ what: String,
        damage: Bool = false
    ) -> AgentError {
        guard !result.words.contains("No space left on device") else {
            return AgentError(.storageFull, "\(what): the host's disk is full; free some space and try again")
        }
        let words = result.words.split(whereSeparator: \.isNewline).joined(separator: " ")
        guard !damage else {
            return AgentError(.invalidState, code: "volume_damaged", "\(what) (\(program): \(words))")
        }
        return AgentError(.internal, code: "storage_error", "\(what): \(program) failed: \(words)")
    }
}

public import GuestProtocol

/// What comes of files that are read in a guest.
public enum GuestArchiveEvent: Sendable, Hashable {
    /// A piece of the archive.
    case bytes([UInt8])
    /// The archive is whole; what was left out of it. The last event.
    case finished(GuestFilesResult)
}

/// A tar archive on its way into a guest.
///
/// One that is dropped before ``finish()`` is cancelled.
public protocol GuestArchiveInput: Sendable {
    /// Sends a part of the archive; returns when it is on its way and there is room for more.
    ///
    /// - Throws: What the guest has against it, as ``GuestFilesResult/Failure/error``, as soon as it is known; `unavailable`
    ///   if the connection is lost.
    func write(_ bytes: [UInt8]) async throws

    /// Says that the archive is whole, and waits until it is unpacked.
    ///
    /// - Returns: What was written, and what was left out.
    /// - Throws: As ``write(_:)``.
    func finish() async throws -> GuestFilesResult

    /// Gives up: files that are unpacked already stay, half ones are removed. Returns at once. Idempotent.
    func cancel() async
}

extension GuestFilesResult.Failure {
    /// The failure for whoever asked; what a guest says is shown as text and otherwise distrusted.
    public var error: AgentError {
        let words = GuestText.bounded(message)
        switch reason {
        case "not_found": return AgentError(.notFound, code: "path_not_found", words)
        case "not_a_directory": return AgentError(.invalidArgument, code: "not_a_directory", words)
        case "is_a_directory": return AgentError(.invalidArgument, code: "is_a_directory", words)
        case "full": return AgentError(.storageFull, code: "guest_disk_full", "the guest's disk is full: \(words)")
        case "read_only": return AgentError(.invalidState, code: "guest_read_only", words)
        case "denied": return AgentError(.invalidState, code: "guest_refused", words)
        case "outside": return AgentError(.invalidArgument, code: "path_outside", words)
        case "damaged": return AgentError(.invalidArgument, code: "invalid_archive", words)
        case "changed": return AgentError(.busy, code: "file_changed", words)
        case "unsupported": return AgentError(.notSupported, code: "guest_cannot", words)
        case "cancelled": return AgentError(.cancelled, words)
        default: return AgentError(.unavailable, code: "guest_failed", words)
        }
    }
}

/// A guest's words, for people to read.
public enum GuestText {
    /// More than the longest path, which messages name.
    private static let limit = 6 << 10

    /// Without control characters, and bounded.
    public static func bounded(_ text: String) -> String {
        String(
            String.UnicodeScalarView(
                text.unicodeScalars.lazy.filter { $0.properties.generalCategory != .control }.prefix(limit)
            )
        )
    }
}

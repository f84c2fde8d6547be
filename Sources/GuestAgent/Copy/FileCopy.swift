import GuestProtocol
import NIOCore
import TarTree

/// Files on their way into or out of the guest, for as long as the host's stream lasts.
///
/// Used on the event loop only; the files are a thread's.
protocol FileCopy: AnyObject {
    /// Takes what the host sends.
    func receive(_ frame: GuestFrame)
    /// The host sends no more.
    func endInput()
    /// The stream has room again.
    func resumeOutput()
    /// The host does not wait for it any more.
    func cancel()
}

/// How many copies there are at a time: each has a thread, and a host that has gone silent keeps it.
final class FileCopies {
    private static let limit = 16

    private var count = 0

    /// Takes a place, false if there is none.
    func enter() -> Bool {
        guard count < Self.limit else { return false }
        count += 1
        return true
    }

    func leave() { count -= 1 }
}

extension GuestFilesResult {
    /// A copy's result from what ended it.
    init(_ result: Result<GuestFilesResult, any Error>) {
        switch result {
        case .success(let result): self = result
        case .failure(let failure as TreeFailure):
            self.init(
                failure: Failure(reason: failure.reason.rawValue, path: failure.path, message: failure.message)
            )
        case .failure(let error):
            self.init(failure: Failure(reason: TreeFailure.Reason.other.rawValue, path: "", message: "\(error)"))
        }
    }
}

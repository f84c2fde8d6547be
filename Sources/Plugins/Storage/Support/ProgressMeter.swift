import AgentCore
import Synchronization

/// Passes progress on a few times a second, from any thread.
final class ProgressMeter: Sendable {
    private struct State {
        var completed = 0
        var reported: ContinuousClock.Instant?
    }

    private let status: ImageStatus
    private let total: Int?
    private let report: @Sendable (ImageProgress) -> Void
    private let state = Mutex(State())

    init(status: ImageStatus, total: Int?, report: @escaping @Sendable (ImageProgress) -> Void) {
        self.status = status
        self.total = total
        self.report = report
    }

    func add(_ bytes: Int) {
        let due: Int? = state.withLock { state in
            state.completed += bytes
            let now = ContinuousClock.now
            if let last = state.reported, now - last < .milliseconds(250) { return nil }
            state.reported = now
            return state.completed
        }
        if let due { report(ImageProgress(status: status, completed: due, total: total)) }
    }

    /// Reports the end.
    func finish() {
        let completed = state.withLock { $0.completed }
        report(ImageProgress(status: status, completed: completed, total: total))
    }
}

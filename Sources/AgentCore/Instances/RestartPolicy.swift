/// When an instance is started again after its end.
///
/// What somebody asked for is never undone by it: an instance that was stopped stays Stopped.
public struct RestartPolicy: Sendable, Hashable, Codable {
    /// After which ends.
    public enum Mode: String, Sendable, Codable, CaseIterable {
        case never
        /// After all but a program's exit with 0.
        case onFailure = "on_failure"
        case always
    }

    /// The longest pause before a restart.
    public static let longestPause = Duration.seconds(300)
    public static let defaultBackoff = Duration.seconds(5)
    public static let defaultStableAfter = Duration.seconds(600)

    public var mode: Mode
    /// The pause before the first restart in a row; it doubles with each, up to ``longestPause`` or itself.
    public var backoff: Duration
    /// How many restarts in a row there are at most; nil is no limit.
    public var maximumAttempts: Int?
    /// A run of this length ends the row.
    public var stableAfter: Duration

    public init(
        mode: Mode,
        backoff: Duration = defaultBackoff,
        maximumAttempts: Int? = nil,
        stableAfter: Duration = defaultStableAfter
    ) {
        self.mode = mode
        self.backoff = backoff
        self.maximumAttempts = maximumAttempts
        self.stableAfter = stableAfter
    }

    /// The pause before the next restart.
    ///
    /// - Parameters:
    ///   - exit: How the run ended.
    ///   - restarts: How many there were in this row.
    /// - Returns: nil if there is to be none.
    public func pause(after exit: InstanceExit?, restarts: Int) -> Duration? {
        switch mode {
        case .never: return nil
        case .onFailure where exit?.reason == .exited && exit?.code == 0: return nil
        case .onFailure, .always: break
        }
        if let maximumAttempts, restarts >= maximumAttempts { return nil }
        let longest = max(backoff, Self.longestPause)
        // 2^20 times the shortest pause that makes sense is beyond the longest.
        return min(backoff * (1 << min(restarts, 20)), longest)
    }
}

import AgentAPI
import AgentCore

extension RestartPolicy {
    /// What a client asked for; what it left out is the default.
    init(_ body: RestartPolicyBody) throws(AgentError) {
        let words = body.policy ?? ""
        let mode =
            try words.isEmpty ? .never : Mode(word: words, of: "restart_policy: policy", code: "invalid_restart_policy")
        self.init(
            mode: mode,
            backoff: try Self.duration(body.backoff, "backoff") ?? Self.defaultBackoff,
            maximumAttempts: body.maximumAttempts.flatMap { $0 == 0 ? nil : $0 },
            stableAfter: try Self.duration(body.stableAfter, "stable_after") ?? Self.defaultStableAfter
        )
    }

    private static func duration(_ text: String?, _ field: String) throws(AgentError) -> Duration? {
        guard let text, !text.isEmpty else { return nil }
        guard let duration = DurationText.parse(text) else {
            throw invalid("\(field) '\(text.prefix(50))' is not a duration: write 5s or 1m30s")
        }
        return duration
    }

    private static func invalid(_ what: String) -> AgentError {
        AgentError(.invalidArgument, code: "invalid_restart_policy", "restart_policy: \(what)")
    }
}

extension RestartPolicyBody {
    init(_ policy: RestartPolicy) {
        self.init(
            policy: policy.mode.rawValue,
            backoff: DurationText.format(policy.backoff),
            maximumAttempts: policy.maximumAttempts ?? 0,
            stableAfter: DurationText.format(policy.stableAfter)
        )
    }
}

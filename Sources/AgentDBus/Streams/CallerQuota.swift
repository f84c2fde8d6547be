import AgentCore

/// How much of something callers may have at a time, each of them and all together.
struct CallerQuota {
    /// Of one caller.
    let mostOfCaller: Int
    /// Of all of them.
    let most: Int
    /// In words for an error: so many of it there are.
    let state: String
    /// What a caller can do about that.
    let remedy: String
    /// What is taken, by its callers' unique names.
    private var counts: [String: Int] = [:]
    private var total = 0

    init(mostOfCaller: Int, most: Int, state: String, remedy: String) {
        (self.mostOfCaller, self.most, self.state, self.remedy) = (mostOfCaller, most, state, remedy)
    }

    /// Takes one for a caller.
    ///
    /// - Throws: `quotaExceeded`.
    mutating func reserve(_ caller: String) throws(AgentError) {
        let own = counts[caller, default: 0]
        guard own < mostOfCaller, total < most else {
            throw AgentError(.quotaExceeded, "\(total) \(state), \(own) of them this caller's: \(remedy)")
        }
        counts[caller] = own + 1
        total += 1
    }

    /// Gives one back.
    mutating func release(_ caller: String) {
        total -= 1
        let rest = counts[caller, default: 1] - 1
        counts[caller] = rest == 0 ? nil : rest
    }
}

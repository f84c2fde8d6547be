/// One line of progress: redrawn on a terminal, and elsewhere a plain line for each new step.
struct ProgressLine {
    private let isTerminal: Bool
    private let width: Int
    private var lastStep: String?
    private var isDrawn = false

    init(isTerminal: Bool, width: Int) {
        self.isTerminal = isTerminal
        self.width = width
    }

    /// What to write for a new state, perhaps nothing.
    mutating func update(_ step: String, completed: Int, total: Int?) -> String {
        guard isTerminal else {
            defer { lastStep = step }
            return step == lastStep ? "" : "\(step)\n"
        }
        lastStep = step
        isDrawn = true
        return "\r\u{1B}[K" + line(step, completed: completed, total: total)
    }

    /// What to write at the end.
    mutating func finish() -> String {
        defer { isDrawn = false }
        return isDrawn ? "\r\u{1B}[K" : ""
    }

    private func line(_ step: String, completed: Int, total: Int?) -> String {
        guard let total, total > 0 else {
            return String((completed > 0 ? "\(step)  \(HumanText.bytes(completed))" : step).prefix(width))
        }
        let share = min(1, Double(completed) / Double(total))
        let figures = "\(Int(share * 100))%  \(HumanText.bytes(completed)) / \(HumanText.bytes(total))"
        let room = min(40, width - step.count - figures.count - 6)
        guard room >= 10 else { return String("\(step)  \(figures)".prefix(width)) }
        let filled = Int(share * Double(room))
        let bar = String(repeating: "█", count: filled) + String(repeating: "░", count: room - filled)
        return "\(step)  \(bar)  \(figures)"
    }
}

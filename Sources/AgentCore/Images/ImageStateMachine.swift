/// Where one image is on its way to a root disk: events in, the next thing to do out, no I/O.
///
/// `pending → pulling → converting → ready | failed`. Names that share a digest share the work, so a name can join late and
/// skip states; only ``Event/restarted(hasDisk:)`` leads away from `ready`. A pull that is cancelled because its image is
/// deleted has no state left; one that is cancelled because the agent stops keeps its own, from which the next start goes
/// on.
public struct ImageStateMachine: Sendable, Hashable {
    /// What can happen to an image.
    public enum Event: Sendable, Hashable {
        /// Somebody asks for it.
        case requested
        /// Its turn has come, and its layers are on their way.
        case fetchBegan
        /// Its layers are here and become a disk.
        case conversionBegan
        /// Its root disk is there.
        case diskReady
        /// What was under way came to nothing.
        case failed(String)
        /// The agent was started again.
        case restarted(hasDisk: Bool)
    }

    /// What is to be done next.
    public enum Action: Sendable, Hashable {
        case none
        /// Get it from its registry; what is here already need not come again.
        case fetch
    }

    public private(set) var status: ImageStatus
    /// Why it failed; nil in every other state.
    public private(set) var error: String?
    /// Whether it came by import: there is nowhere to fetch it from again.
    public let imported: Bool

    public init(_ image: Image) {
        status = image.status
        error = image.error
        imported = image.imported
    }

    /// Takes in what happened.
    ///
    /// - Returns: What is to be done; nil if the event means nothing in this state and nothing has changed.
    public mutating func handle(_ event: Event) -> Action? {
        switch (event, status) {
        case (.requested, .failed):
            become(.pending)
            return .fetch
        case (.fetchBegan, .pending), (.fetchBegan, .failed): return become(.pulling)
        case (.conversionBegan, .pending), (.conversionBegan, .pulling), (.conversionBegan, .failed):
            return become(.converting)
        case (.diskReady, .pending), (.diskReady, .pulling), (.diskReady, .converting), (.diskReady, .failed):
            return become(.ready)
        case (.failed(let why), .pending), (.failed(let why), .pulling), (.failed(let why), .converting):
            return become(.failed, why)
        case (.restarted(let hasDisk), .ready):
            return hasDisk ? nil : become(.failed, "its root disk is not there; pull or import it again")
        case (.restarted, .pending), (.restarted, .pulling), (.restarted, .converting):
            // That the disk was finished and only the news of it lost is found out by what is done again.
            guard imported else {
                become(.pending)
                return .fetch
            }
            return become(.failed, "the agent was restarted during the import; import it again")
        case (.requested, _), (.fetchBegan, _), (.conversionBegan, _), (.diskReady, _), (.failed, _), (.restarted, _):
            return nil
        }
    }

    @discardableResult
    private mutating func become(_ status: ImageStatus, _ error: String? = nil) -> Action {
        self.status = status
        self.error = error
        return .none
    }
}

extension Image {
    /// Takes in what happened, see ``ImageStateMachine``.
    mutating func handle(_ event: ImageStateMachine.Event) -> ImageStateMachine.Action? {
        var machine = ImageStateMachine(self)
        let action = machine.handle(event)
        (status, error) = (machine.status, machine.error)
        return action
    }
}

/// Which message bus the agent is on.
public enum BusChoice: Sendable, Hashable {
    /// The system's where there is one; that there is none is nothing to speak of.
    case auto
    case system
    case session
    case off
    /// At an address of a unix socket.
    case address(String)

    /// Reads it as it is configured.
    ///
    /// - Returns: nil if it is none of these.
    public init?(_ text: String) {
        switch text {
        case "auto": self = .auto
        case "system": self = .system
        case "session": self = .session
        case "off": self = .off
        default:
            guard text.hasPrefix("unix:path=/") || text.hasPrefix("unix:abstract=") else { return nil }
            self = .address(text)
        }
    }
}

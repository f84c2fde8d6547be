/// The release of this package.
public enum AgentVersion {
    /// Semantic version, without a `v`.
    public static let current = "0.1.0"
}

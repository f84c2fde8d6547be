import Glibc

/// How much longer than on an ordinary machine tests wait here.
///
/// Deadlines of tests are chosen for a host that is slow or busy; one that is itself emulated is slower by a factor.
public enum Patience {
    /// HYPEMAN_TEST_PATIENCE, a whole number from 1; 1 if it isn't set.
    public static let factor: Int = {
        guard let text = getenv("HYPEMAN_TEST_PATIENCE").map({ String(cString: $0) }), !text.isEmpty else { return 1 }
        guard let factor = Int(text), factor >= 1 else {
            fatalError("HYPEMAN_TEST_PATIENCE=\(text) is not a whole number from 1")
        }
        return factor
    }()

    /// A deadline for here.
    public static func of(_ time: Duration) -> Duration { time * factor }
}

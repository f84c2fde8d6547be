public import AgentCore
import Glibc

/// The accelerator that tests of real hypervisors use.
public enum AcceleratorUnderTest {
    /// HYPEMAN_TEST_ACCELERATOR, as ACCELERATOR of the agent; `auto` if it isn't set.
    ///
    /// A driver that is asked for KVM throws where there is none, so that a run which asks for it tests nothing else.
    public static let choice: AcceleratorChoice = {
        guard let text = getenv("HYPEMAN_TEST_ACCELERATOR").map({ String(cString: $0) }), !text.isEmpty else {
            return .auto
        }
        guard let choice = AcceleratorChoice(rawValue: text) else {
            let known = AcceleratorChoice.allCases.map(\.rawValue).joined(separator: ", ")
            fatalError("HYPEMAN_TEST_ACCELERATOR=\(text) is no accelerator: it is one of \(known)")
        }
        return choice
    }()
}

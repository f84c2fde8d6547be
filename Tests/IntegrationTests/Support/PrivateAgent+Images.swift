import AgentTestSupport
import Foundation
import Testing

extension PrivateAgent {
    /// Waits until an image that was pushed is a root disk.
    ///
    /// - Parameter name: Without `docker.io/`.
    /// - Throws: ``ToolFailure`` after two minutes.
    func waitUntilReady(_ name: String) async throws {
        let deadline = ContinuousClock.now + .seconds(120)
        var said = ""
        while ContinuousClock.now < deadline {
            said = try await expect("images")
            let line = said.split(separator: "\n").first { $0.hasPrefix("docker.io/\(name) ") }
            if line?.contains(" ready ") == true { return }
            try await Task.sleep(for: .milliseconds(100))
        }
        throw ToolFailure(description: "\(name) is not ready: \(said)")
    }
}

import AgentCore
import ArgumentParser
import Foundation

struct Check: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Says what is wrong with this host and configuration, and what fixes it.",
        discussion: "Ends with 1 if the agent could not run instances here."
    )

    func run() async throws {
        let findings = try await HostCheck(configuration: AgentConfiguration(environment: Environment.load()))
            .findings()
        for finding in findings {
            let level = finding.level.rawValue.padding(toLength: 7, withPad: " ", startingAt: 0)
            print("\(level)  \(finding.subject): \(finding.message)")
            if let fix = finding.fix { print("         fix: \(fix)") }
        }
        if findings.contains(where: { $0.level == .error }) { throw ExitCode.failure }
    }
}

import AgentCore
import Testing

@testable import hypeman_agent

struct SupervisorCheckTests {
    @Test(arguments: SupervisorChoice.allCases, [nil, "systemd does not run this host"] as [String?])
    func onlyWhatWasAskedForAndCannotBeIsAnError(_ choice: SupervisorChoice, _ obstacle: String?) {
        let finding = SupervisorCheck(choice: choice, obstacle: obstacle).finding()
        #expect((finding.level == .error) == (choice == .systemd && obstacle != nil))
        #expect((finding.fix != nil) == (finding.level == .error))
        if choice == .auto, let obstacle { #expect(finding.message.contains(obstacle)) }
    }
}

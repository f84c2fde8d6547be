import AgentTestSupport
import Testing

@testable import AgentCore

@Suite struct ImageStateMachineTests {
    private typealias Event = ImageStateMachine.Event

    private func machine(_ status: ImageStatus, imported: Bool = false) -> ImageStateMachine {
        var image = Fixtures.image("docker.io/library/test:1")
        image.status = status
        image.imported = imported
        image.error = status == .failed ? "earlier" : nil
        return ImageStateMachine(image)
    }

    /// Every state and event; what is not in the table changes nothing.
    @Test(arguments: ImageStatus.allCases, [false, true])
    func onlyTheTransitionsOfTheTableHappen(from status: ImageStatus, imported: Bool) {
        let events: [Event] = [
            .requested, .fetchBegan, .conversionBegan, .diskReady, .failed("why"), .restarted(hasDisk: true),
            .restarted(hasDisk: false),
        ]
        for event in events {
            let expected: ImageStatus? =
                switch (status, event) {
                case (.failed, .requested): .pending
                case (.pending, .fetchBegan), (.failed, .fetchBegan): .pulling
                case (.pending, .conversionBegan), (.pulling, .conversionBegan), (.failed, .conversionBegan):
                    .converting
                case (.ready, .diskReady): nil
                case (_, .diskReady): .ready
                case (.pending, .failed), (.pulling, .failed), (.converting, .failed): .failed
                case (.ready, .restarted(hasDisk: false)): .failed
                case (.pending, .restarted), (.pulling, .restarted), (.converting, .restarted):
                    imported ? .failed : .pending
                default: nil
                }
            var machine = machine(status, imported: imported)
            let before = machine
            let action = machine.handle(event)
            #expect((action != nil) == (expected != nil), "\(status) \(event)")
            #expect(machine.status == expected ?? status, "\(status) \(event)")
            if expected == nil { #expect(machine == before, "\(status) \(event)") }
            #expect((machine.error != nil) == (machine.status == .failed), "\(status) \(event)")
            #expect((action == .fetch) == (expected == .pending), "\(status) \(event)")
        }
    }

    @Test func aWholePullGoesThroughAllStates() {
        var pull = machine(.pending)
        var seen: [ImageStatus] = []
        for event in [Event.fetchBegan, .conversionBegan, .diskReady] {
            #expect(pull.handle(event) == ImageStateMachine.Action.none)
            seen.append(pull.status)
        }
        #expect(seen == [.pulling, .converting, .ready])
        #expect(pull.handle(.restarted(hasDisk: true)) == nil)
    }

    @Test func whatFailedSaysWhyUntilItIsAskedForAgain() {
        var pull = machine(.pulling)
        _ = pull.handle(.failed("the registry is gone"))
        #expect(pull.error == "the registry is gone")
        #expect(pull.handle(.requested) == .fetch)
        #expect(pull.error == nil)
    }

    @Test func anImportThatWasCutOffSaysWhatToDo() {
        var machine = machine(.converting, imported: true)
        #expect(machine.handle(.restarted(hasDisk: false)) == ImageStateMachine.Action.none)
        #expect(machine.error?.contains("import it again") == true)
    }
}

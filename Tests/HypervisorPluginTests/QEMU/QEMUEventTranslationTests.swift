import AgentCore
import Testing

@testable import HypervisorPlugin

struct QEMUEventTranslationTests {
    private func translate(_ events: [QMPEvent], hasStarted: Bool = true) -> [MachineEvent] {
        var translation = QEMUEventTranslation(hasStarted: hasStarted)
        return events.compactMap { translation.translate($0) }
    }

    @Test func theResumeOfTheStartIsNoEvent() {
        let events = [QMPEvent(name: "RESUME"), QMPEvent(name: "STOP"), QMPEvent(name: "RESUME")]
        #expect(translate(events, hasStarted: false) == [.paused, .resumed])
        #expect(translate(events) == [.resumed, .paused, .resumed])
    }

    @Test func aPanicIsReportedOnceWithoutTheStopThatFollows() {
        let events = [
            QMPEvent(name: "GUEST_PANICKED"), QMPEvent(name: "GUEST_PANICKED"), QMPEvent(name: "STOP"),
            QMPEvent(name: "SHUTDOWN", guest: true, reason: "guest-panic"),
        ]
        #expect(translate(events) == [.panicked])
    }

    @Test(arguments: [
        ("guest-shutdown", [MachineEvent.poweredOff]), ("guest-reset", [.reset]), ("host-signal", []),
        ("host-qmp-quit", []), ("something-new", []),
    ])
    func theReasonOfAShutdownDecides(reason: String, expected: [MachineEvent]) {
        #expect(translate([QMPEvent(name: "SHUTDOWN", guest: true, reason: reason)]) == expected)
    }

    @Test func aDiskThatCannotGrowIsReportedOnceUntilTheMachineGoesOn() {
        let failure = QMPEvent.outOfSpace
        let (stop, resume) = (QMPEvent(name: "STOP"), QMPEvent(name: "RESUME"))
        #expect(translate([failure, failure, stop, failure]) == [.outOfSpace])
        let again = [failure, stop, resume, failure, stop, resume, stop]
        #expect(translate(again) == [.outOfSpace, .outOfSpace, .paused])
        let reported = QMPEvent(name: "BLOCK_IO_ERROR", nospace: false, action: "report")
        #expect(translate([reported]) == [], "the guest deals with errors that it is told of")
    }

    @Test func unknownEventsAreIgnored() {
        #expect(translate([QMPEvent(name: "RTC_CHANGE"), QMPEvent(name: "")]) == [])
    }
}

import AgentAPI
import Foundation
import Testing

@testable import hypeman

/// What is drawn and printed.
@Suite struct TerminalTests {
    @Test func columnsLineUp() {
        var table = Table("NAME", "STATE")
        table.add("a-long-name", "Running")
        table.add("b", "")
        #expect(table.lines == ["NAME          STATE", "a-long-name   Running", "b"])
    }

    @Test func foreignTextDoesNotDriveTheTerminal() {
        var table = Table("NAME")
        table.add("a\u{1B}[2J\nb")
        #expect(table.lines == ["NAME", "a?[2J?b"])
    }

    @Test func plainProgressSaysEachStepOnce() {
        var line = ProgressLine(isTerminal: false, width: 80)
        #expect(line.update("pulling", completed: 1, total: 10) == "pulling\n")
        #expect(line.update("pulling", completed: 5, total: 10) == "")
        #expect(line.update("converting", completed: 0, total: nil) == "converting\n")
        #expect(line.finish() == "")
    }

    @Test func barFillsAndIsWipedAway() {
        var line = ProgressLine(isTerminal: true, width: 60)
        let half = line.update("pulling", completed: 500, total: 1000)
        #expect(half.hasPrefix("\r\u{1B}[K"))
        #expect(half.contains("50%"))
        #expect(half.count { $0 == "█" } == half.count { $0 == "░" })
        #expect(line.update("pulling", completed: 2000, total: 1000).contains("100%"))
        #expect(line.finish() == "\r\u{1B}[K")
    }

    @Test(arguments: [5, 20, 40, 80, 200]) func barFitsItsTerminal(width: Int) {
        var line = ProgressLine(isTerminal: true, width: width)
        let text = line.update("docker.io/library/alpine:latest: pulling", completed: 123_456_789, total: 987_654_321)
        #expect(text.count - 4 <= width)
    }

    @Test func figuresAreForPeople() {
        #expect(HumanText.bytes(999) == "999 B")
        #expect(HumanText.bytes(1500) == "1.5 kB")
        #expect(HumanText.bytes(5_300_000_000) == "5.3 GB")
        let now = Date(timeIntervalSince1970: 100_000)
        #expect(HumanText.age(of: now.addingTimeInterval(-1), now: now) == "1 second ago")
        #expect(HumanText.age(of: now.addingTimeInterval(-7200), now: now) == "2 hours ago")
        #expect(HumanText.age(of: now.addingTimeInterval(60), now: now) == "0 seconds ago")
    }

    @Test func partialLinesAreNotBroken() async {
        let printer = LogPrinter()
        func record(_ text: String, partial: Bool) -> LogRecordResponse {
            LogRecordResponse(time: Date(), stream: "stdout", text: text, base64: nil, partial: partial)
        }
        #expect(await printer.bytes(of: record("login: ", partial: true)) == Array("login: ".utf8))
        #expect(await printer.bytes(of: record("root", partial: false)) == Array("root\n".utf8))
        let binary = LogRecordResponse(time: Date(), stream: "stdout", text: nil, base64: "/wA=", partial: false)
        #expect(await printer.bytes(of: binary) == [0xFF, 0, 10])
    }

    @Test func timestampStandsAtALinesBeginningOnly() async {
        let printer = LogPrinter(timestamps: true)
        let time = Date(timeIntervalSince1970: 0)
        let first = LogRecordResponse(time: time, stream: "stdout", text: "a", base64: nil, partial: true)
        let second = LogRecordResponse(time: time, stream: "stdout", text: "b", base64: nil, partial: false)
        #expect(await printer.bytes(of: first) == Array("1970-01-01T00:00:00.000Z a".utf8))
        #expect(await printer.bytes(of: second) == Array("b\n".utf8))
    }
}

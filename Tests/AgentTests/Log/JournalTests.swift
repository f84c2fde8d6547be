import AgentTestSupport
import Foundation
import Logging
import SystemPackage
import Testing

@testable import hypeman_agent

/// Against a socket as journald has it, read by the rules of its native protocol.
struct JournalTests {
    /// The fields of an entry, in their order.
    private func fields(_ bytes: [UInt8]) throws -> [(name: String, value: String)] {
        var rest = bytes[...]
        var fields: [(name: String, value: String)] = []
        while !rest.isEmpty {
            let end = try #require(rest.firstIndex(of: UInt8(ascii: "\n")))
            let line = rest[..<end]
            rest = rest[(end + 1)...]
            if let equals = line.firstIndex(of: UInt8(ascii: "=")) {
                fields.append(
                    (
                        String(decoding: line[..<equals], as: UTF8.self),
                        String(decoding: line[(equals + 1)...], as: UTF8.self)
                    )
                )
                continue
            }
            try #require(rest.count >= 8)
            let length = rest.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
            rest = rest.dropFirst(8)
            try #require(rest.count > length)
            fields.append((String(decoding: line, as: UTF8.self), String(decoding: rest.prefix(length), as: UTF8.self)))
            rest = rest.dropFirst(length)
            try #require(rest.first == UInt8(ascii: "\n"))
            rest = rest.dropFirst()
        }
        return fields
    }

    private func logged(_ log: (Logger) -> Void) async throws -> [(name: String, value: String)] {
        try await Scratch.with { scratch in
            let path = scratch.appending("socket").string
            let receiver = try DatagramReceiver(at: path)
            log(AgentLog.makeLogger(level: LogLevelSwitch(.trace), journal: try JournalSocket(path: path)))
            return try fields(try receiver.receive())
        }
    }

    @Test func anEntryHasItsFields() async throws {
        let line: UInt = #line + 2
        let fields = try await logged { logger in
            logger.warning("it stands", metadata: ["instance": "abc", "name": "web", "exit-code": "3"])
        }
        func values(_ name: String) -> [String] { fields.filter { $0.name == name }.map(\.value) }
        #expect(values("MESSAGE") == ["it stands: exit-code=3 instance=abc name=web"])
        #expect(values("PRIORITY") == ["4"])
        #expect(values("SYSLOG_IDENTIFIER") == ["hypeman-agent"])
        #expect(values("HYPEMAN_INSTANCE") == ["abc", "web"])
        #expect(values("HYPEMAN_EXIT_CODE") == ["3"])
        #expect(values("CODE_LINE") == ["\(line)"])
        #expect(values("CODE_FILE").first?.hasSuffix("JournalTests.swift") == true)
        #expect(values("CODE_FUNC").first?.contains("anEntryHasItsFields") == true)
    }

    @Test func aValueWithNewlinesCannotForgeAField() async throws {
        let fields = try await logged { $0.error("a\nPRIORITY=0\nb", metadata: ["image": "x\n_UID=0"]) }
        #expect(fields.filter { $0.name == "PRIORITY" }.map(\.value) == ["3"])
        #expect(fields.first { $0.name == "MESSAGE" }?.value == "a\nPRIORITY=0\nb: image=x\n_UID=0")
        #expect(fields.first { $0.name == "HYPEMAN_IMAGE" }?.value == "x\n_UID=0")
        #expect(!fields.contains { $0.name == "_UID" })
    }

    @Test func anEntryIsBounded() async throws {
        var metadata: Logger.Metadata = [:]
        for number in 0..<100 { metadata["key\(number)"] = "\(String(repeating: "ü", count: 5000))" }
        let fields = try await logged { $0.info("\(String(repeating: "ä", count: 100_000))", metadata: metadata) }
        #expect(fields.reduce(0) { $0 + $1.name.utf8.count + $1.value.utf8.count + 2 } <= JournalEntry.longest)
        let message = try #require(fields.first { $0.name == "MESSAGE" }?.value)
        #expect(message.utf8.count <= 16 << 10 + 3)
        #expect(message.hasSuffix("ä…"))
        #expect(fields.contains { $0.name == "PRIORITY" })
    }

    @Test func namesAreTheJournals() {
        #expect(JournalEntry.fieldName("exit_code") == "HYPEMAN_EXIT_CODE")
        #expect(JournalEntry.fieldName("a.b c=ä") == "HYPEMAN_A_B_C___")
        #expect(JournalEntry.fieldName(String(repeating: "x", count: 100)).utf8.count == 64)
    }

    @Test func aJournalThatIsBehindKeepsNobodyWaitingAndIsToldWhatItMissed() async throws {
        try await Scratch.with { scratch in
            let path = scratch.appending("socket").string
            let receiver = try DatagramReceiver(at: path)
            let logger = AgentLog.makeLogger(level: LogLevelSwitch(.trace), journal: try JournalSocket(path: path))
            let began = ContinuousClock.now
            for number in 0..<10_000 { logger.info("\(number)") }
            // A send that waits would take five seconds.
            #expect(began.duration(to: .now) < .seconds(4))
            var received = 0
            while !receiver.isEmpty {
                _ = try receiver.receive()
                received += 1
            }
            #expect(received < 10_000)
            logger.info("last")
            #expect(try fields(try receiver.receive()).first?.value == "last")
            let notice = try fields(try receiver.receive())
            #expect(notice.first?.value == "\(10_000 - received) entries of the log were lost: the journal was behind")
        }
    }

    @Test func theJournalIsUsedWhereStderrGoesToIt() {
        func journal(_ variable: String?, _ stream: String?) -> JournalSocket? {
            AgentLog.journal(environment: variable.map { ["JOURNAL_STREAM": $0] } ?? [:], stream: stream)
        }
        // Its socket need not be there.
        #expect(journal("8:1234", "socket:[1234]") != nil)
        #expect(journal("8:1234", "socket:[12345]") == nil)
        #expect(journal("8:1234", "/dev/null") == nil)
        #expect(journal("8:1234", nil) == nil)
        #expect(journal(nil, "socket:[1234]") == nil)
    }
}

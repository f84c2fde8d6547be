import AgentCore
import AgentTestSupport
import Foundation
import SystemPackage
import Testing

@testable import HypervisorPlugin

struct CloudHypervisorEventTests {
    private static let text = """
        {
          "timestamp": {"secs": 0, "nanos": 1},
          "source": "vm",
          "event": "paused",
          "properties": null
        }

        garbage } {"source": "a\\"}{", "event": "x", "properties": {"id": "}"}}
        """

    @Test func objectsAreFoundWhereverTheTextIsCut() throws {
        let bytes = Array(Self.text.utf8)
        for cut in 0...bytes.count {
            var splitter = EventSplitter()
            let objects = splitter.take(bytes[..<cut]) + splitter.take(bytes[cut...])
            let events = try objects.map { try JSONDecoder().decode(CloudHypervisorEvent.self, from: Data($0)) }
            let expected = [
                CloudHypervisorEvent("vm", "paused"), CloudHypervisorEvent("a\"}{", "x", ["id": "}"]),
            ]
            #expect(events == expected)
        }
    }

    @Test func anObjectThatNeverEndsTakesNoMemoryAndTheNextIsFound() {
        var splitter = EventSplitter()
        let long = Array("{\"x\": \"".utf8) + [UInt8](repeating: 0x61, count: 1 << 20) + Array("\"}{\"y\": 1}".utf8)
        #expect(splitter.take(long).map { String(decoding: $0, as: UTF8.self) } == ["{\"y\": 1}"])
    }

    private func translate(_ events: [(String, String)], hasRun: Bool = true) -> [MachineEvent] {
        var translation = CloudHypervisorEventTranslation(hasRun: hasRun)
        return events.compactMap { translation.translate(CloudHypervisorEvent($0.0, $0.1)) }
    }

    @Test func theResumeAfterARestoreIsNoEvent() {
        let events = [("vm", "restored"), ("vm", "resumed"), ("vm", "pausing"), ("vm", "paused"), ("vm", "resumed")]
        #expect(translate(events, hasRun: false) == [.paused, .resumed])
        #expect(translate(events) == [.resumed, .paused, .resumed])
    }

    @Test func whatFollowsTheEndIsNoEvent() {
        #expect(translate([("vm", "rebooting"), ("vm", "rebooted"), ("vm", "paused")]) == [.reset])
        #expect(translate([("guest", "panic"), ("guest", "panic"), ("vm", "rebooting")]) == [.panicked])
        #expect(translate([("vm", "shutdown"), ("vm", "deleted"), ("vmm", "shutdown")]) == [.poweredOff])
        #expect(translate([("virtio-device", "reset"), ("vdpa", "reset"), ("vmm", "starting"), ("", "")]) == [])
    }

    @Test func aCrashKernelIsNotTheEnd() {
        var translation = CloudHypervisorEventTranslation(hasRun: true)
        #expect(translation.translate(CloudHypervisorEvent("guest", "panic", ["event": "crash_loaded"])) == nil)
        #expect(translation.translate(CloudHypervisorEvent("guest", "panic", ["event": "panic"])) == .panicked)
    }

    @Test func ofWhatWasMissedOnlyTheEndCounts() {
        var translation = CloudHypervisorEventTranslation(hasRun: true)
        #expect(translation.translateMissed(CloudHypervisorEvent("vm", "paused")) == nil)
        #expect(translation.translateMissed(CloudHypervisorEvent("vm", "rebooting")) == .reset)
    }

    @Test func aFileIsReadOnceByOneAgentAfterTheOtherAndTakesNoRoom() async throws {
        try await Scratch.with { scratch in
            let path = scratch.appending("events")
            try EventFiles.make(path)
            let writer = try FileHandle(forWritingTo: URL(filePath: path.string))
            let seen = Seen()
            let text = Data(String(repeating: "x", count: 100_000).utf8)
            for life in 1...3 {
                // What comes while nobody is there.
                try writer.write(contentsOf: text)
                let file = try EventFiles().follow(path) { seen.add($0.count { $0 != 0 }) }
                #expect(seen.count == (life * 2 - 1) * text.count, "what was in it is read at once")
                try writer.write(contentsOf: text)
                try await withDeadline(.seconds(10), "what is written is not read") {
                    while seen.count < life * 2 * text.count { try await Task.sleep(for: .milliseconds(2)) }
                }
                file.end()
            }
            var status = stat()
            #expect(stat(path.string, &status) == 0)
            #expect(status.st_size == 6 * text.count && Int(status.st_blocks) * 512 <= 8192, "\(status.st_blocks)")
        }
    }

    @Test func whatIsWrittenLastIsReadAtTheEnd() async throws {
        try await Scratch.with { scratch in
            let path = scratch.appending("events")
            try EventFiles.make(path)
            let seen = Seen()
            let file = try EventFiles().follow(path) { seen.add($0.count) }
            try FileHandle(forWritingTo: URL(filePath: path.string)).write(contentsOf: Data("last".utf8))
            file.end()
            #expect(seen.count == 4)
        }
    }
}

private final class Seen: @unchecked Sendable {  // Under its lock.
    private let lock = NSLock()
    private var bytes = 0

    var count: Int { lock.withLock { bytes } }
    func add(_ count: Int) { lock.withLock { bytes += count } }
}

import AgentCore
import Foundation
import Glibc
import GuestProtocol
import GuestTransport
import Testing

@testable import GuestAgent

/// The program's own stdin and terminal, over the channel, with real processes.
@Suite struct AttachTests {
    /// The program's output, read as it comes.
    private struct Output {
        private var stretches: AsyncThrowingStream<GuestOutput, any Error>.Iterator
        private(set) var text = ""

        init(_ channel: any GuestChannel) { stretches = channel.output(from: 0).makeAsyncIterator() }

        /// Reads on until the text has a part; to the output's end if that is nil.
        mutating func read(until part: String?) async throws {
            while part.map({ !text.contains($0) }) ?? true {
                guard let stretch = try await stretches.next() else {
                    if let part { Issue.record("no '\(part)' in '\(text)'") }
                    return
                }
                #expect(stretch.stream == .stdout)
                text += String(decoding: stretch.bytes, as: UTF8.self)
            }
        }
    }

    private func exit(of channel: any GuestChannel) async throws -> GuestExit? {
        for try await event in channel.events(after: 1) {
            if case .exited(let exit) = event.kind { return exit }
        }
        return nil
    }

    /// Runs a script on a terminal and connects; its output has been read as far as `part`.
    private func onTerminal(
        _ script: String,
        openStandardInput: Bool = true,
        until part: String,
        _ body: (any GuestChannel, inout Output) async throws -> Void
    ) async throws {
        try await LoopbackGuest.with(
            program: ["/bin/sh", "-c", script],
            terminal: true,
            openStandardInput: openStandardInput
        ) { guest in
            guest.agent.startProgram()
            let channel = try await guest.connect()
            var output = Output(channel)
            try await output.read(until: part)
            try await body(channel, &output)
            await channel.close()
        }
    }

    @Test func programOnATerminalIsTypedToAndResized() async throws {
        let script = "stty size; tty; echo ready; read x; stty size; echo \"<$x>\" > /dev/tty; echo $TERM; exit 3"
        try await onTerminal(script, until: "ready\r\n") { channel, output in
            #expect(channel.hello.features.contains(GuestFeature.attach))
            #expect(output.text.hasPrefix("24 80\r\n/dev/pts/"))
            let input = try await channel.attach()
            try await input.resize(TerminalSize(rows: 10, columns: 20))
            try await input.write(Array("hey\n".utf8))
            try await output.read(until: nil)
            #expect(output.text.hasSuffix("hey\r\n10 20\r\n<hey>\r\nxterm\r\n"), "\(output.text)")
            #expect(try await exit(of: channel) == GuestExit(code: 3))
        }
    }

    @Test func controlKeysDoWhatTheyDoOnATerminal() async throws {
        let script = "trap 'echo got' INT; echo ready; cat; echo over"
        try await onTerminal(script, until: "ready\r\n") { channel, output in
            let input = try await channel.attach()
            try await input.write(Array("hello\n".utf8))
            try await output.read(until: "hello\r\nhello\r\n")
            // The end of input is a Control-D, which ends cat; the terminal goes on and so does the next who attaches.
            try await input.closeInput()
            try await output.read(until: "over\r\n")
            #expect(try await exit(of: channel) == GuestExit(code: 0))
        }
    }

    @Test func programThatClosesItsTerminalCanOpenItAgain() async throws {
        let script = "t=$(tty); exec <&- >&- 2>&-; sleep 0.3; exec <$t >$t 2>&1; echo back; read x; echo $x"
        try await onTerminal(script, until: "back\r\n") { channel, output in
            let input = try await channel.attach()
            try await input.write(Array("again\n".utf8))
            try await output.read(until: "again\r\nagain\r\n")
        }
    }

    @Test func terminalWithoutInputTakesSizesAlone() async throws {
        let script = "trap 'stty size; exit 5' WINCH; echo ready; while :; do sleep 0.05; done"
        try await onTerminal(script, openStandardInput: false, until: "ready\r\n") { channel, output in
            let input = try await channel.attach()
            try await input.write(Array("ignored\n".utf8))
            try await input.resize(TerminalSize(rows: 11, columns: 22))
            try await output.read(until: nil)
            #expect(output.text == "ready\r\n11 22\r\n")
            #expect(try await exit(of: channel) == GuestExit(code: 5))
        }
    }

    @Test func lastOutputOfAProgramOnATerminalIsNotLost() async throws {
        for number in 0..<20 {
            let script = "i=0; while [ $i -lt 300 ]; do echo line $i; i=$((i+1)); done; printf 'end of \(number)'"
            try await LoopbackGuest.with(program: ["/bin/sh", "-c", script], terminal: true) { guest in
                guest.agent.startProgram()
                let channel = try await guest.connect()
                var output = Output(channel)
                try await output.read(until: nil)
                #expect(output.text.hasSuffix("line 299\r\nend of \(number)"))
                await channel.close()
            }
        }
    }

    @Test func pipeStaysOpenUntilItsEndIsSaid() async throws {
        try await LoopbackGuest.with(program: ["cat"], openStandardInput: true) { guest in
            guest.agent.startProgram()
            for text in ["one\n", "two\n"] {
                let channel = try await guest.connect()
                var output = Output(channel)
                try await (try await channel.attach()).write(Array(text.utf8))
                try await output.read(until: text)
                // The connection is lost without a word about stdin.
                await channel.close()
            }
            let channel = try await guest.connect()
            let (first, second) = (try await channel.attach(), try await channel.attach())
            for _ in 0..<2 { await first.leave() }
            try await first.resize(TerminalSize(rows: 1, columns: 1))
            try await second.write(Array("three\n".utf8))
            try await second.closeInput()
            var output = Output(channel)
            try await output.read(until: nil)
            #expect(output.text == "one\ntwo\nthree\n")
            #expect(try await exit(of: channel) == GuestExit(code: 0))
            await #expect(throws: AgentError.self) { try await channel.attach() }
            await channel.close()
        }
    }

    @Test func largeInputGoesThroughUnchangedAtTheProgramsPace() async throws {
        try await LoopbackGuest.with(program: ["/bin/sh", "-c", "sleep 0.5; sha256sum"], openStandardInput: true) {
            guest in
            guest.agent.startProgram()
            let channel = try await guest.connect()
            let input = try await channel.attach()
            let block = (0..<(1 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ $0 >> 8) }
            for _ in 0..<16 { try await input.write(block) }
            try await input.closeInput()
            var output = Output(channel)
            try await output.read(until: nil)
            let sum = try await sha256(of: block, times: 16)
            #expect(output.text.hasPrefix(sum))
            await channel.close()
        }
    }

    /// What sha256sum says of the same bytes, as a command.
    private func sha256(of block: [UInt8], times: Int) async throws -> String {
        try await LoopbackGuest.with { guest in
            let channel = try await guest.connect()
            let process = try await channel.exec(
                ExecRequest(program: GuestProgram(arguments: ["sha256sum"], environment: []), stdin: true)
            )
            for _ in 0..<times { try await process.write(block) }
            try await process.closeInput()
            var text = ""
            for try await case .output(_, let bytes) in process.events {
                text += String(decoding: bytes, as: UTF8.self)
            }
            await channel.close()
            return String(text.prefix(64))
        }
    }

    @Test func writerToAProgramThatDoesNotReadIsMadeToWait() async throws {
        try await LoopbackGuest.with(program: ["sleep", "1000"], openStandardInput: true) { guest in
            guest.agent.startProgram()
            let channel = try await guest.connect()
            let input = try await channel.attach()
            let (progress, report) = AsyncStream.makeStream(of: Int.self)
            let writer = Task {
                var sent = 0
                do {
                    while sent < 64 << 20 {
                        try await input.write([UInt8](repeating: 0, count: 64 << 10))
                        sent += 64 << 10
                        report.yield(sent)
                    }
                } catch {}
                return sent
            }
            // Its windows and the pipe are full some time after the first bytes; what is not read does not go on.
            for await sent in progress where sent >= 128 << 10 { break }
            try await Task.sleep(for: .milliseconds(300))
            await channel.close()
            #expect(await writer.value < 4 << 20)
        }
    }

    @Test(arguments: [GuestConfiguration.Mode.exec, .systemd])
    func programWithoutStdinIsNotAttachedTo(mode: GuestConfiguration.Mode) async throws {
        try await LoopbackGuest.with(mode: mode) { guest in
            if mode == .exec { guest.agent.startProgram() }
            let channel = try await guest.connect()
            let error = await #expect(throws: AgentError.self) { try await channel.attach() }
            #expect(error?.kind == .invalidState)
            await channel.close()
        }
    }

    @Test func configurationOfAnOlderAgentHasNeither() throws {
        let text = """
            {"protocolVersion":1,"instance":"i","hostname":"h","session":"s","mode":"exec","rootDisk":"r",
            "overlayDisk":"o","outputBufferSize":1,
            "program":{"arguments":["sh"],"environment":[],"workingDirectory":"/","user":""}}
            """
        let configuration = try GuestJSON.decode(GuestConfiguration.self, from: Array(text.utf8))
        #expect(!configuration.terminal && !configuration.openStandardInput)
        var changed = configuration
        changed.terminal = true
        #expect(try GuestJSON.decode(GuestConfiguration.self, from: try GuestJSON.encode(changed)) == changed)
        // The host writes it with Foundation's encoder.
        #expect(try JSONDecoder().decode(GuestConfiguration.self, from: try JSONEncoder().encode(changed)) == changed)
        #expect(GuestRoute(method: GuestRoute.attach.method, path: GuestRoute.attach.path) == .attach)
    }
}

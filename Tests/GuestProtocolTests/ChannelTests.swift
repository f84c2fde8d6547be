import AgentCore
import AgentTestSupport
import Glibc
import GuestProtocol
import GuestTransport
import NIOCore
import SystemPackage
import Testing

@testable import GuestAgent

/// Both ends of the channel in one process, over a stream that never breaks, with real processes.
@Suite struct ChannelTests {
    private struct Result: Equatable {
        var stdout: [UInt8] = []
        var stderr: [UInt8] = []
        var exit: GuestExit?

        var text: String { String(decoding: stdout, as: UTF8.self) }
    }

    private func collect(_ process: any GuestProcess) async throws -> Result {
        var result = Result()
        for try await event in process.events {
            switch event {
            case .output(.stdout, let bytes): result.stdout += bytes
            case .output(.stderr, let bytes): result.stderr += bytes
            case .exited(let exit): result.exit = exit
            }
        }
        return result
    }

    private func request(
        _ arguments: [String],
        environment: [String] = [],
        directory: String = "",
        user: String = "",
        terminal: TerminalSize? = nil,
        stdin: Bool = false,
        timeout: Int? = nil
    ) -> ExecRequest {
        ExecRequest(
            program: GuestProgram(
                arguments: arguments,
                environment: environment,
                workingDirectory: directory,
                user: user
            ),
            terminal: terminal,
            stdin: stdin,
            timeoutMilliseconds: timeout
        )
    }

    private func shell(_ script: String) -> ExecRequest { request(["/bin/sh", "-c", script]) }

    @Test func handshakeTellsWhoTheGuestIs() async throws {
        try await LoopbackGuest.with { guest in
            let channel = try await guest.connect()
            #expect(channel.hello.protocolVersion == GuestProtocolVersion.current)
            #expect(channel.hello.initVersion == GuestAgent.version)
            #expect(channel.hello.bootID.utf8.count == 36)
            await channel.close()
        }
    }

    @Test func execSeparatesOutputsAndReportsTheCode() async throws {
        try await LoopbackGuest.with { guest in
            let channel = try await guest.connect()
            let result = try await collect(try await channel.exec(shell("echo out; echo err >&2; exit 7")))
            #expect(result.text == "out\n")
            #expect(result.stderr == Array("err\n".utf8))
            #expect(result.exit == GuestExit(code: 7))
            let killed = try await collect(try await channel.exec(shell("kill -9 $$")))
            #expect(killed.exit == GuestExit(code: 137, signal: 9))
            await channel.close()
        }
    }

    @Test func execHasTheProgramsEnvironmentAndItsOwn() async throws {
        try await LoopbackGuest.with { guest in
            let channel = try await guest.connect()
            let process = try await channel.exec(
                request(
                    ["/bin/sh", "-c", "pwd; id -u; echo $BASE $MORE"],
                    environment: ["MORE=2"],
                    directory: "/usr",
                    user: "65534"
                )
            )
            #expect(try await collect(process).text == "/usr\n65534\n1 2\n")
            await channel.close()
        }
    }

    @Test(arguments: [
        (["/nonexistent"], 127, "no such file"), (["nonexistent-program"], 127, "not found in the image's PATH"),
        (["/etc"], 126, "is a directory"),
        (["/etc/passwd"], 126, "is not executable"), ([String](), 127, "no program"),
    ])
    func programThatCannotBeStartedExitsWithTheReason(arguments: [String], code: Int, reason: String) async throws {
        try await LoopbackGuest.with { guest in
            let channel = try await guest.connect()
            let result = try await collect(try await channel.exec(request(arguments)))
            #expect(result.exit?.code == code)
            #expect(result.exit?.message?.contains(reason) == true)
            await channel.close()
        }
    }

    @Test(arguments: [
        ("#!/nonexistent/interpreter\n", "/nonexistent/interpreter"), ("plain text\n", "neither a program"),
    ])
    func scriptThatCannotBeRunSaysWhy(content: String, reason: String) async throws {
        try await LoopbackGuest.with { guest in
            let path = guest.socket.removingLastComponent().appending("script").string
            #expect(SmallFile.replace(path, with: content, mode: 0o755) == 0)
            defer { unlink(path) }
            let channel = try await guest.connect()
            let result = try await collect(try await channel.exec(request([path])))
            #expect(result.exit?.code == 126)
            #expect(result.exit?.message?.contains(reason) == true)
            await channel.close()
        }
    }

    @Test func sixtyFourMebibytesGoThroughUnchanged() async throws {
        try await LoopbackGuest.with { guest in
            let channel = try await guest.connect()
            let process = try await channel.exec(request(["cat"], stdin: true))
            let block = 100_000
            let total = 64 << 20
            async let sent: Void = {
                var random = SeededGenerator(seed: 99)
                var left = total
                while left > 0 {
                    let pattern = random.next()
                    let count = min(block, left)
                    try await process.write((0..<count).map { UInt8(truncatingIfNeeded: pattern >> UInt64($0 % 57)) })
                    left -= count
                }
                try await process.closeInput()
            }()
            var random = SeededGenerator(seed: 99)
            var pattern: UInt64 = 0
            var position = 0
            var differences = 0
            var exit: GuestExit?
            for try await event in process.events {
                switch event {
                case .output(_, let bytes):
                    for byte in bytes {
                        if position % block == 0 { pattern = random.next() }
                        if byte != UInt8(truncatingIfNeeded: pattern >> UInt64((position % block) % 57)) {
                            differences += 1
                        }
                        position += 1
                    }
                case .exited(let status): exit = status
                }
            }
            try await sent
            #expect(position == total && differences == 0)
            #expect(exit == GuestExit(code: 0))
            await channel.close()
        }
    }

    @Test func commandThatNobodyReadsIsMadeToWait() async throws {
        try await LoopbackGuest.with { guest in
            let channel = try await guest.connect()
            let process = try await channel.exec(request(["/bin/sh", "-c", "yes & echo $!; wait"]))
            var iterator = process.events.makeAsyncIterator()
            guard case .output(_, let first) = try await iterator.next() else {
                Issue.record("no output")
                return
            }
            let pid = String(decoding: first.prefix { $0 != 0x0A }, as: UTF8.self)
            // It has stopped once it waits for its pipe (pipe_write) and what it wrote so far no longer grows.
            func written() -> Int {
                let line = (SmallFile.text("/proc/\(pid)/io") ?? "").split(separator: "\n").first {
                    $0.hasPrefix("wchar")
                }
                return line.flatMap { Int($0.split(separator: " ").last ?? "") } ?? -1
            }
            var before = -2
            while written() != before || before <= 0 {
                before = written()
                try await Task.sleep(for: .milliseconds(200))
            }
            #expect(before < 4 << 20)
            await process.kill()
            await channel.close()
        }
    }

    @Test func writerToACommandThatDoesNotReadIsMadeToWait() async throws {
        try await LoopbackGuest.with { guest in
            let channel = try await guest.connect()
            let process = try await channel.exec(request(["sleep", "1000"], stdin: true))
            let writer = Task {
                var sent = 0
                do {
                    while sent < 64 << 20 {
                        try await process.write([UInt8](repeating: 0, count: 64 << 10))
                        sent += 64 << 10
                    }
                } catch {}
                return sent
            }
            // The signal is not behind the bytes: it ends the command by itself, through another stream.
            try await Task.sleep(for: .milliseconds(500))
            await process.kill()
            #expect(await writer.value < 4 << 20)
            await #expect(throws: AgentError.self) { try await process.write([1]) }
            await channel.close()
        }
    }

    @Test func terminalIsControllingHasItsSizeAndIsResized() async throws {
        try await LoopbackGuest.with { guest in
            let channel = try await guest.connect()
            let script = "stty size; stty -echo; echo ready; read x; stty size; echo $x > /dev/tty; echo $TERM"
            let process = try await channel.exec(
                request(["/bin/sh", "-c", script], terminal: TerminalSize(rows: 33, columns: 77), stdin: true)
            )
            var text = ""
            var answered = false
            var exit: GuestExit?
            for try await event in process.events {
                switch event {
                case .output(let stream, let bytes):
                    #expect(stream == .stdout)
                    text += String(decoding: bytes, as: UTF8.self)
                    if text.contains("ready"), !answered {
                        answered = true
                        try await process.resize(TerminalSize(rows: 10, columns: 20))
                        try await process.write(Array("hey\n".utf8))
                    }
                case .exited(let status): exit = status
                }
            }
            #expect(text == "33 77\r\nready\r\n10 20\r\nhey\r\nxterm\r\n")
            #expect(exit == GuestExit(code: 0))
            await channel.close()
        }
    }

    @Test func signalsReachTheProcessGroup() async throws {
        try await LoopbackGuest.with { guest in
            let channel = try await guest.connect()
            let process = try await channel.exec(
                shell("trap 'echo got; exit 3' USR1; echo ready; while :; do sleep 0.05; done")
            )
            var text = ""
            var exit: GuestExit?
            for try await event in process.events {
                switch event {
                case .output(.stderr, _): continue
                case .output(.stdout, let bytes):
                    text += String(decoding: bytes, as: UTF8.self)
                    if text == "ready\n" { try await process.signal(10) }
                case .exited(let status): exit = status
                }
            }
            #expect(text == "ready\ngot\n")
            #expect(exit?.code == 3)
            await channel.close()
        }
    }

    @Test func commandsOwnTimeoutKillsAllOfIt() async throws {
        try await LoopbackGuest.with { guest in
            let channel = try await guest.connect()
            let result = try await collect(
                try await channel.exec(request(["/bin/sh", "-c", "sleep 1000 & echo $!; wait"], timeout: 300))
            )
            #expect(result.exit?.signal == 9)
            #expect(result.exit?.message?.contains("300 ms") == true)
            try await expectGone(result.text)
            await channel.close()
        }
    }

    @Test(arguments: [false, true])
    func commandDiesWithItsCallerOrItsConnection(connection: Bool) async throws {
        try await LoopbackGuest.with { guest in
            let channel = try await guest.connect()
            let process = try await channel.exec(shell("sleep 1000 & echo $!; wait"))
            var iterator = process.events.makeAsyncIterator()
            guard case .output(_, let bytes) = try await iterator.next() else {
                Issue.record("no output")
                return
            }
            if connection {
                // QEMU's guests do not hear of a host that goes; they hear of the one that comes.
                await channel.close()
                await (try await guest.connect()).close()
            } else {
                await process.kill()
            }
            try await expectGone(String(decoding: bytes, as: UTF8.self))
            await channel.close()
        }
    }

    /// Waits until there is no such process, or fails.
    private func expectGone(_ line: String) async throws {
        let pid = try #require(pid_t(line.split(separator: "\n").first ?? ""))
        for _ in 0..<500 {
            guard let status = SmallFile.line("/proc/\(pid)/stat").flatMap({ ProcessStatus($0) }), !status.isDead else {
                return
            }
            try await Task.sleep(for: .milliseconds(20))
        }
        Issue.record("process \(pid) still runs")
    }

    @Test func backgroundProcessDoesNotHoldUpTheExit() async throws {
        try await LoopbackGuest.with { guest in
            let channel = try await guest.connect()
            let result = try await collect(try await channel.exec(shell("sleep 1000 & echo $!")))
            #expect(result.exit == GuestExit(code: 0))
            let pid = try #require(pid_t(result.text.dropLast()))
            #expect(kill(pid, SIGKILL) == 0)
            await channel.close()
        }
    }

    @Test func manyCommandsRunSideBySide() async throws {
        try await LoopbackGuest.with { guest in
            let channel = try await guest.connect()
            try await withThrowingTaskGroup(of: Bool.self) { group in
                for index in 0..<40 {
                    group.addTask {
                        let process = try await channel.exec(self.shell("echo \(index); exit \(index)"))
                        let result = try await self.collect(process)
                        return result.text == "\(index)\n" && result.exit?.code == index
                    }
                }
                for try await correct in group { #expect(correct) }
            }
            await channel.close()
        }
    }

    @Test func newHostTakesOverInTheMidstOfAnything() async throws {
        try await LoopbackGuest.with { guest in
            let first = try await guest.connect()
            let process = try await first.exec(request(["yes"]))
            var iterator = process.events.makeAsyncIterator()
            _ = try await iterator.next()
            // Part of a greeting, and of a frame, as an agent leaves them that is killed.
            try await guest.inject(Array(SessionMarker.greeting(secret: LoopbackGuest.session, nonce: []).dropLast(5)))
            let second = try await guest.connect()
            let result = try await collect(try await second.exec(shell("echo hello")))
            #expect(result.text == "hello\n")
            await #expect(throws: AgentError.self) { while try await iterator.next() != nil {} }
            await second.close()
            await first.close()
        }
    }

    /// They would run in the initrd, where the image's files are not.
    @Test func commandsAreRefusedUntilTheImagesRootIsInPlace() async throws {
        try await LoopbackGuest.with(acceptsCommands: false) { guest in
            let channel = try await guest.connect()
            await #expect {
                _ = try await channel.exec(shell("echo too early"))
            } throws: {
                ($0 as? AgentError)?.kind == .invalidState
            }
            guest.agent.acceptCommands()
            let result = try await collect(try await channel.exec(shell("echo hello")))
            #expect(result.text == "hello\n")
            await channel.close()
        }
    }

    @Test func programsOutputComesWithPositionsAndItsExitAfterwards() async throws {
        try await LoopbackGuest.with(program: ["/bin/sh", "-c", "echo one; echo two >&2; exit 4"]) { guest in
            guest.agent.startProgram()
            let channel = try await guest.connect()
            var bytes: [OutputStream: [UInt8]] = [:]
            var position: UInt64 = 0
            for try await output in channel.output(from: 0) {
                #expect(output.offset == position)
                position += UInt64(output.bytes.count)
                bytes[output.stream, default: []] += output.bytes
            }
            #expect(bytes == [.stdout: Array("one\n".utf8), .stderr: Array("two\n".utf8)])
            var kinds: [GuestEvent.Kind] = []
            for try await event in channel.events(after: 0) {
                kinds.append(event.kind)
                #expect(event.sequence == kinds.count)
                if kinds.count == 2 { break }
            }
            guard case .started(let pid) = kinds.first else {
                Issue.record("no start: \(kinds)")
                return
            }
            #expect(pid > 1)
            #expect(kinds.last == .exited(GuestExit(code: 4)))
            try await channel.acknowledgeOutput(upTo: position)
            await #expect(throws: AgentError.self) { try await channel.signalProgram(nil) }
            try await channel.acknowledgeExit()
            try await guest.agent.exitAcknowledged.get()
            await channel.close()
        }
    }

    @Test func outputThatIsNotAcknowledgedCanBeReadAgain() async throws {
        try await LoopbackGuest.with(program: ["/bin/sh", "-c", "echo 123456789"]) { guest in
            guest.agent.startProgram()
            for start in [0, 4] {
                let channel = try await guest.connect()
                var bytes: [UInt8] = []
                for try await output in channel.output(from: UInt64(start)) { bytes += output.bytes }
                #expect(bytes == Array("123456789\n".utf8.dropFirst(start)))
                await channel.close()
            }
        }
    }

    @Test func absentHostLosesTheOldestOutputAndSeesTheGap() async throws {
        let script = "i=0; while [ $i -lt 40000 ]; do echo line $i; i=$((i+1)); done"
        try await LoopbackGuest.with(program: ["/bin/sh", "-c", script], outputBufferSize: 64 << 10) { guest in
            guest.agent.startProgram()
            let channel = try await guest.connect()
            // Nobody reads: the program comes to its end all the same.
            for try await event in channel.events(after: 1) {
                #expect(event.kind == .exited(GuestExit(code: 0)))
                break
            }
            var first: UInt64?
            var bytes: [UInt8] = []
            for try await output in channel.output(from: 0) {
                first = first ?? output.offset
                bytes += output.bytes
            }
            #expect(try #require(first) > 0)
            #expect(bytes.count < 160 << 10)
            #expect(String(decoding: bytes.suffix(11), as: UTF8.self) == "line 39999\n")
            await channel.close()
        }
    }

    @Test func presentHostThatDoesNotAcknowledgeMakesTheProgramWait() async throws {
        let script = """
            trap go=1 USR1; echo ready; while [ -z "$go" ]; do sleep 0.05; done
            i=0; while [ $i -lt 40000 ]; do echo line $i; i=$((i+1)); done
            """
        try await LoopbackGuest.with(program: ["/bin/sh", "-c", script], outputBufferSize: 64 << 10) { guest in
            guest.agent.startProgram()
            let channel = try await guest.connect()
            var position: UInt64 = 0
            var acknowledged: UInt64 = 0
            for try await output in channel.output(from: 0) {
                if position == 0 { try await channel.signalProgram(10) }
                #expect(output.offset == position)
                position += UInt64(output.bytes.count)
                guard position - acknowledged > 32 << 10 else { continue }
                acknowledged = position
                try await channel.acknowledgeOutput(upTo: position)
            }
            #expect(position == UInt64((0..<40000).reduce(6) { $0 + "line \($1)\n".utf8.count }))
            await channel.close()
        }
    }

    @Test func programThatCannotBeStartedIsAnExit() async throws {
        try await LoopbackGuest.with(program: ["/nonexistent"]) { guest in
            guest.agent.startProgram()
            let channel = try await guest.connect()
            let event = try await channel.events(after: 0).first { _ in true }
            #expect(event?.kind == .exited(GuestExit(code: 127, message: "/nonexistent: no such file in the image")))
            for try await _ in channel.output(from: 0) { Issue.record("output of a program that never ran") }
            await channel.close()
        }
    }

    @Test func programIsStoppedByItsStopSignal() async throws {
        let script = "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done"
        try await LoopbackGuest.with(program: ["/bin/sh", "-c", script]) { guest in
            guest.agent.startProgram()
            let channel = try await guest.connect()
            for try await _ in channel.output(from: 0) { break }
            await #expect(throws: AgentError.self) { try await channel.signalProgram(65) }
            try await channel.signalProgram(nil)
            let event = try await channel.events(after: 1).first { _ in true }
            #expect(event?.kind == .exited(GuestExit(code: 9)))
            await channel.close()
        }
    }

    @Test func openingGivesUpWhenItIsCancelledOrThereIsNoSocket() async throws {
        try await LoopbackGuest.with { guest in
            await #expect(throws: AgentError.self) {
                try await guest.connect(socket: "/nonexistent/socket")
            }
            let never = Task { try await guest.connect(session: String(repeating: "f", count: 32)) }
            try await Task.sleep(for: .milliseconds(100))
            never.cancel()
            let error = await #expect(throws: AgentError.self) { try await never.value }
            #expect(error?.kind == .cancelled)
        }
    }
}

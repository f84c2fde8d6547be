public import AgentCore
import Foundation
import GuestProtocol
import Tar

/// What every guest channel must do.
public enum GuestChannelConformance {
    /// A running machine whose guest starts a program that copies its open stdin to stdout until it ends or a signal
    /// comes, and has `cat`, `sleep`, `false` and `echo`.
    public struct Subject: Sendable {
        public var machine: any VirtualMachine

        public init(machine: any VirtualMachine) {
            self.machine = machine
        }
    }

    public static let claims: [ConformanceClaim<Subject>] = [
        ConformanceClaim("the guest introduces itself and reports its program's start as event 1") { subject in
            let channel = try await open(subject)
            try require(channel.hello.protocolVersion >= GuestProtocolVersion.oldest, "\(channel.hello)")
            let event = try await firstEvent(channel, after: 0)
            try require(event.sequence == 1, "the first event has number \(event.sequence)")
            guard case .started = event.kind else { throw ConformanceFailure("it is \(event)") }
            await channel.close()
        },
        ConformanceClaim("a command's output and exit code come back") { subject in
            let channel = try await openStarted(subject)
            let echo = try await run(channel, ["echo", "one", "two"])
            try require(echo.output == Array("one two\n".utf8), "echo wrote \(echo.output)")
            try require(echo.exit.code == 0, "echo ended with \(echo.exit)")
            let failed = try await run(channel, ["false"])
            try require(failed.exit.code == 1, "false ended with \(failed.exit)")
            await channel.close()
        },
        ConformanceClaim("the guest takes the news after a standstill, and goes on") { subject in
            let channel = try await openStarted(subject)
            let now = Int(Date().timeIntervalSince1970) * 1_000_000_000
            try await channel.wakeUp(GuestWakeUp(unixNanoseconds: now, entropy: [UInt8](repeating: 7, count: 64)))
            try await channel.wakeUp(GuestWakeUp(unixNanoseconds: now))
            let echo = try await run(channel, ["echo", "awake"])
            try require(echo.output == Array("awake\n".utf8), "echo wrote \(echo.output)")
            await channel.close()
        },
        ConformanceClaim("stdin reaches a command, and its end too") { subject in
            let channel = try await openStarted(subject)
            let process = try await channel.exec(
                ExecRequest(program: GuestProgram(arguments: ["cat"], environment: []), stdin: true)
            )
            try await process.write(Array("hello ".utf8))
            try await process.write(Array("world".utf8))
            try await process.closeInput()
            try await process.closeInput()
            let result = try await collect(process)
            try require(result.output == Array("hello world".utf8), "cat wrote \(result.output)")
            await channel.close()
        },
        ConformanceClaim("an archive becomes files and files an archive, and what is wrong is said with its path") {
            subject in
            let channel = try await openStarted(subject)
            var member = TarMember(Array("claim-\(UInt32.random(in: .min ... .max))".utf8))
            member.mode = 0o640
            member.modified = FileTime(seconds: 1_700_000_000, nanoseconds: 123_456_789)
            let name = String(decoding: member.name, as: UTF8.self)
            let contents = [UInt8](repeating: 7, count: 300_000)
            member.size = contents.count
            let input = try await channel.writeFiles(GuestWriteRequest(path: "/tmp"))
            try await input.write(member.header)
            try await input.write(contents)
            try await input.write(
                [UInt8](repeating: 0, count: TarMember.padding(after: contents.count)) + TarMember.end
            )
            let result = try await input.finish()
            try require(result.members == 1 && result.bytes == contents.count, "the result is \(result)")
            let status = try await channel.status(of: GuestPathRequest(path: "/tmp/\(name)"))
            try require(status.kind == .file && status.size == contents.count && status.mode == 0o640, "\(status)")
            try require(
                status.modifiedSeconds == 1_700_000_000 && status.modifiedNanoseconds == 123_456_789,
                "\(status)"
            )
            var archive: [UInt8] = []
            var isFinished = false
            for try await event in try await channel.readFiles(GuestReadRequest(path: "/tmp/\(name)")) {
                switch event {
                case .bytes(let bytes): archive += bytes
                case .finished: isFinished = true
                }
            }
            try require(isFinished, "the archive's end is not said")
            let expected = member.header + contents
            try require(archive.starts(with: expected), "the archive begins with \(archive.prefix(1024))")
            let nothing = try await channel.status(of: GuestPathRequest(path: "/tmp/\(name)-not"))
            try require(nothing.kind == nil, "there is \(nothing)")
            do {
                for try await _ in try await channel.readFiles(GuestReadRequest(path: "/tmp/\(name)-not")) {}
                throw ConformanceFailure("nothing was copied")
            } catch let error as AgentError {
                try require(error.kind == .notFound && error.message.contains("/tmp/\(name)-not"), "\(error)")
            }
            do {
                let cut = try await channel.writeFiles(GuestWriteRequest(path: "/tmp"))
                try await cut.write(member.header)
                _ = try await cut.finish()
                throw ConformanceFailure("half an archive was unpacked")
            } catch let error as AgentError {
                try require(error.code == "invalid_archive", "\(error)")
            }
            await channel.close()
        },
        ConformanceClaim("files for an image are without those that say who the guest is") { subject in
            let channel = try await openStarted(subject)
            let name = "claim-\(UInt32.random(in: .min ... .max))"
            let input = try await channel.writeFiles(GuestWriteRequest(path: "/etc"))
            for file in ["hosts", name] { try await input.write(TarMember.file(file, [1, 2, 3])) }
            try await input.write(TarMember.end)
            _ = try await input.finish()
            for asImage in [false, true] {
                var archive: [UInt8] = []
                let request = GuestReadRequest(path: "/etc", asImage: asImage)
                for try await event in try await channel.readFiles(request) {
                    if case .bytes(let bytes) = event { archive += bytes }
                }
                let text = String(decoding: archive, as: UTF8.self)
                try require(text.contains("etc/\(name)"), "a file is missing")
                try require(text.contains("etc/hosts\0") != asImage, "/etc/hosts, for an image: \(asImage)")
            }
            await channel.close()
        },
        ConformanceClaim("a signal ends a command and is named in its exit") { subject in
            let channel = try await openStarted(subject)
            let process = try await channel.exec(
                ExecRequest(program: GuestProgram(arguments: ["sleep", "1000"], environment: []))
            )
            try await process.signal(15)
            let result = try await collect(process)
            try require(result.exit.signal == 15 && result.exit.code == 143, "it ended with \(result.exit)")
            await channel.close()
        },
        ConformanceClaim("input reaches the program over one attachment after another, and its end ends it") {
            subject in
            let first = try await open(subject)
            _ = try await firstEvent(first, after: 0)
            for text in ["one\n", "two\n"] {
                let input = try await first.attach()
                try await input.write(Array(text.utf8))
                _ = try await output(of: first, until: text)
                await input.leave()
                await input.leave()
                do {
                    try await input.write([0])
                    throw ConformanceFailure("whoever has left still writes")
                } catch let error as AgentError where error.kind == .invalidState {}
            }
            // Neither those who left nor a lost connection have closed the program's stdin.
            let abandoned = try await first.attach()
            await first.close()
            do {
                try await abandoned.write([0])
                throw ConformanceFailure("input goes over a closed channel")
            } catch let error as AgentError where error.kind == .unavailable {}
            let second = try await open(subject)
            let input = try await second.attach()
            try await input.write(Array("three\n".utf8))
            try await input.closeInput()
            try await input.closeInput()
            let event = try await firstEvent(second, after: 1)
            guard case .exited(let exit) = event.kind, exit.code == 0 else {
                throw ConformanceFailure("it is \(event)")
            }
            let text = try await output(of: second, until: nil)
            try require(text.hasSuffix("one\ntwo\nthree\n"), "the program wrote '\(text)'")
            do {
                _ = try await second.attach()
                throw ConformanceFailure("somebody attached to a program that has ended")
            } catch let error as AgentError where error.kind == .invalidState {}
            await second.close()
        },
        ConformanceClaim("a closed channel fails what runs through it, and can be opened again") { subject in
            let channel = try await openStarted(subject)
            let process = try await channel.exec(
                ExecRequest(program: GuestProgram(arguments: ["sleep", "1000"], environment: []))
            )
            await channel.close()
            await channel.close()
            do {
                let result = try await collect(process)
                throw ConformanceFailure("the command ended as if nothing had happened: \(result.exit)")
            } catch let error as AgentError where error.kind == .unavailable {}
            let again = try await open(subject)
            _ = try await firstEvent(again, after: 0)
            await again.close()
        },
        ConformanceClaim("opening another channel ends the one before") { subject in
            let first = try await open(subject)
            let second = try await open(subject)
            do {
                _ = try await firstEvent(first, after: 1)
                throw ConformanceFailure("the first channel lives on")
            } catch let error as AgentError where error.kind == .unavailable {}
            _ = try await firstEvent(second, after: 0)
            await second.close()
        },
        ConformanceClaim("the program's exit is reported, its output ends, and the acknowledged guest powers off") {
            subject in
            let channel = try await open(subject)
            _ = try await firstEvent(channel, after: 0)
            try await channel.signalProgram(nil)
            let event = try await firstEvent(channel, after: 1)
            guard case .exited = event.kind else { throw ConformanceFailure("it is \(event)") }
            try await within(.seconds(30), "the end of the output") {
                for try await output in channel.output(from: 0) {
                    try await channel.acknowledgeOutput(upTo: output.offset + UInt64(output.bytes.count))
                }
            }
            try await channel.acknowledgeExit()
            let events = try await within(.seconds(30), "the machine's end") {
                var events: [MachineEvent] = []
                for await event in subject.machine.events { events.append(event) }
                return events
            }
            try require(events.contains(.poweredOff), "the machine's events are \(events)")
        },
    ]

    private static func open(_ subject: Subject) async throws -> any GuestChannel {
        try await within(.seconds(60), "the handshake") { try await subject.machine.openGuestChannel() }
    }

    /// Commands can be run once the program's start is reported.
    private static func openStarted(_ subject: Subject) async throws -> any GuestChannel {
        let channel = try await open(subject)
        _ = try await firstEvent(channel, after: 0)
        return channel
    }

    private static func firstEvent(_ channel: any GuestChannel, after sequence: Int) async throws -> GuestEvent {
        try await within(.seconds(30), "an event after number \(sequence)") {
            for try await event in channel.events(after: sequence) { return event }
            throw ConformanceFailure("the events ended")
        }
    }

    /// The program's output from its beginning until it ends with `end`; nil: to its own end.
    private static func output(of channel: any GuestChannel, until end: String?) async throws -> String {
        try await within(.seconds(30), "the output '\(end ?? "")'") {
            var bytes: [UInt8] = []
            for try await output in channel.output(from: 0) {
                bytes += output.bytes
                let text = String(decoding: bytes, as: UTF8.self)
                if let end, text.hasSuffix(end) { return text }
            }
            guard end == nil else { throw ConformanceFailure("the output ended") }
            return String(decoding: bytes, as: UTF8.self)
        }
    }

    private static func run(
        _ channel: any GuestChannel,
        _ arguments: [String]
    ) async throws -> (output: [UInt8], exit: GuestExit) {
        try await collect(
            try await channel.exec(ExecRequest(program: GuestProgram(arguments: arguments, environment: [])))
        )
    }

    private static func collect(_ process: any GuestProcess) async throws -> (output: [UInt8], exit: GuestExit) {
        try await within(.seconds(30), "the command's end") {
            var output: [UInt8] = []
            for try await event in process.events {
                switch event {
                case .output(_, let bytes): output += bytes
                case .exited(let exit): return (output, exit)
                }
            }
            throw ConformanceFailure("the events ended without an exit")
        }
    }
}

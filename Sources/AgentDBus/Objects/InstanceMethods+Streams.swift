import AgentCore
import DBus
import GuestProtocol

/// What gives callers descriptors: commands, the program itself, consoles, logs.
extension InstanceMethods {
    var opening: [Interface.Member] {
        [
            .method("OpenExec", ["arguments", "options"], returns: ["stdin", "stdout", "stderr", "process"]) {
                (call: Call, arguments: [String], options: [String: Variant]) in
                try await answering {
                    let options = try ExecOptions(arguments, options, hasTerminal: false)
                    let (process, ends) = try await streams.openProcess(
                        call,
                        on: .instance(id),
                        with: ProcessStreams.pipes
                    ) {
                        try await instances.exec(reference, options.request, patience: options.patience)
                    }
                    return (ends[0], ends[1], ends[2], process)
                }
            },
            .method("OpenPTY", ["arguments", "options"], returns: ["terminal", "process"]) {
                (call: Call, arguments: [String], options: [String: Variant]) in
                try await answering {
                    let options = try ExecOptions(arguments, options, hasTerminal: true)
                    let (process, ends) = try await streams.openProcess(
                        call,
                        on: .instance(id),
                        with: ProcessStreams.socket
                    ) {
                        try await instances.exec(reference, options.request, patience: options.patience)
                    }
                    return (ends[0], process)
                }
            },
            .method("OpenAttach", ["options"], returns: ["stdin", "stdout", "stderr", "process"]) {
                (call: Call, options: [String: Variant]) in
                try await answering {
                    let options = try AttachOptions(options)
                    try instances.get(reference).checkAttachable()
                    let (process, ends) = try await streams.openProcess(
                        call,
                        on: .instance(id),
                        // Its stdin stays open for whoever comes next.
                        endsInput: false,
                        with: ProcessStreams.pipes
                    ) {
                        try await instances.attach(reference, options.request, patience: options.patience)
                    }
                    return (ends[0], ends[1], ends[2], process)
                }
            },
            .method("OpenConsole", ["options"], returns: ["console"]) {
                (call: Call, options: [String: Variant]) in
                try await answering {
                    var options = Options(options)
                    let tail = try options.number("Tail")
                    try options.finish()
                    let events = try await instances.console(reference, tail: tail).events
                    let pieces = events.pieces { event in
                        if case .output(_, let bytes) = event { bytes } else { nil }
                    }
                    return try await streams.openOutput(call, pieces, looksAhead: false)
                }
            },
            .method("OpenLogs", ["options"], returns: ["log"]) { (call: Call, options: [String: Variant]) in
                try await answering { try await openLogs(call, options) }
            },
        ]
    }

    private func openLogs(_ call: Call, _ given: [String: Variant]) async throws -> UnixDescriptor {
        var options = Options(given)
        let tail = try options.number("Tail")
        let follow = try options.take("Follow") ?? false
        let name = try options.take("Source") ?? LogSource.app.rawValue
        try options.finish()
        let source = try LogSource(word: name, of: "Source", code: "invalid_field")
        let lines = try await instances.logs(reference, source: source, tail: tail, follow: follow)
        // As they were written: a part of a line has no end yet.
        let pieces = lines.pieces { $0.isPartial ? $0.bytes : $0.bytes + [UInt8(ascii: "\n")] }
        // The first line of one that is followed may be long in coming.
        return try await streams.openOutput(call, pieces, looksAhead: !follow)
    }
}

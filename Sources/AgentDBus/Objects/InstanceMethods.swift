import AgentCore
import DBus
import GuestProtocol
import Logging

/// What can be done with an instance.
struct InstanceMethods: Sendable {
    private static let longestWait = Duration.seconds(300)

    let id: InstanceID
    let instances: InstancesService
    let operations: OperationRegistry
    let streams: CallerStreams

    var members: [Interface.Member] { lifecycle + others + opening }

    private var reference: String { id.rawValue }

    // MARK: Lifecycle

    private var lifecycle: [Interface.Member] {
        [
            operation("Start") { _ = try await $0.start($1) },
            .method("Stop", ["timeout_usec", "flags"], returns: ["operation"]) {
                (_: Call, timeout: UInt64, flags: UInt64) in
                // Neither a caller's 0 nor its largest number is meant as a time.
                let limit = Duration.microseconds(Int64(clamping: min(timeout, 86_400_000_000)))
                return try await begin("stop", flags) { instances, reference in
                    var request = StopInstanceRequest()
                    if timeout > 0 { request.signalDeadline = limit }
                    _ = try await instances.stop(reference, request)
                }
            },
            operation("Pause") { _ = try await $0.pause($1) },
            operation("Resume") { _ = try await $0.resume($1) },
            operation("Standby") { _ = try await $0.standby($1) },
            operation("Restore") { _ = try await $0.restore($1) },
            operation("Delete") { try await $0.delete($1) },
        ]
    }

    /// A method that begins an operation and takes flags alone.
    private func operation(
        _ name: String,
        _ act: @escaping @Sendable (InstancesService, String) async throws -> Void
    ) -> Interface.Member {
        .method(name, ["flags"], returns: ["operation"]) { (_: Call, flags: UInt64) in
            try await begin(name.lowercased(), flags, act)
        }
    }

    private func begin(
        _ kind: String,
        _ flags: UInt64,
        _ act: @escaping @Sendable (InstancesService, String) async throws -> Void
    ) async throws -> ObjectPath {
        try await answering {
            let flags = try CallFlags(flags)
            let (instances, reference) = (instances, reference)
            let path = await operations.begin(kind, on: .instance(id)) { _ in try await act(instances, reference) }
            if flags.waits { try await operations.wait(path) }
            return path
        }
    }

    // MARK: The rest

    private var others: [Interface.Member] {
        [
            .method("Kill", ["signal"]) { (_: Call, signal: Int32) in
                try await answering { try await instances.signal(reference, Int(signal)) }
            },
            .method("SetRestartPolicy", ["policy"]) { (_: Call, policy: [String: Variant]) in
                try await answering {
                    var options = Options(policy)
                    let policy = try RestartPolicy(&options) ?? RestartPolicy(mode: .never)
                    try options.finish()
                    _ = try await instances.update(reference, UpdateInstanceRequest(restartPolicy: policy))
                }
            },
            .method("Wait", ["state", "timeout_usec"], returns: ["state", "timed_out"]) {
                (call: Call, state: String, timeout: UInt64) in
                try await answering {
                    let state = try InstanceState(text: state)
                    let limit = min(.microseconds(Int64(clamping: timeout)), Self.longestWait)
                    // Nobody waits for a caller that is gone.
                    let result = try await streams.whileCallerLives(call) {
                        try await instances.wait(reference, for: state, timeout: limit)
                    }
                    return (result.instance.state.rawValue, result.timedOut)
                }
            },
        ]
    }

    // MARK: What gives callers descriptors

    private var opening: [Interface.Member] {
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
        guard let source = LogSource(rawValue: name) else {
            let known = LogSource.allCases.map(\.rawValue).joined(separator: ", ")
            throw AgentError(
                .invalidArgument,
                code: "invalid_field",
                "Source '\(name.prefix(50))' is not one of \(known)"
            )
        }
        let lines = try await instances.logs(reference, source: source, tail: tail, follow: follow)
        return try await streams.openLog(call, lines, isFollowed: follow)
    }
}

import AgentCore
import DBus
import GuestProtocol

extension CreateInstanceRequest {
    /// What a caller asked for, each field checked; sizes are bytes, bandwidths bits a second.
    init(_ specification: [String: Variant]) throws(AgentError) {
        var options = Options(specification)
        self.init(
            name: try InstanceName(try options.require("Name")),
            image: try ImageReference(try options.require("Image"))
        )
        vcpus = try options.take("VCPUs", UInt32.self).map(Int.init)
        memory = try options.number("Memory").map { ByteSize(bytes: $0) }
        overlaySize = try options.number("OverlaySize").map { ByteSize(bytes: $0) }
        environment = try options.take("Environment") ?? [:]
        if let name = environment.keys.first(where: { $0.isEmpty || $0.contains("=") }) {
            throw AgentError(
                .invalidArgument,
                code: "invalid_env",
                "'\(name.prefix(100))' is not the name of an environment variable"
            )
        }
        entrypoint = try options.take("Entrypoint")
        command = try options.take("Command")
        workingDirectory = try options.take("WorkingDirectory")
        user = try options.take("User")
        tags = try options.take("Labels") ?? [:]
        networkEnabled = try options.take("Network")
        bandwidth.download = try options.number("BandwidthDownload").map { BitRate(bitsPerSecond: $0) }
        bandwidth.upload = try options.number("BandwidthUpload").map { BitRate(bitsPerSecond: $0) }
        publishedPorts = try (options.take("Ports", [PortValue].self) ?? []).map { port throws(AgentError) in
            try port.port()
        }
        hypervisor = try options.take("Hypervisor").map { HypervisorName(rawValue: $0) }
        terminal = try options.take("Terminal") ?? false
        openStandardInput = try options.take("OpenStdin") ?? false
        restartPolicy = try RestartPolicy(&options) ?? restartPolicy
        try options.finish()
    }
}

extension RestartPolicy {
    /// What a caller asked for; nil if it said nothing of it.
    init?(_ options: inout Options) throws(AgentError) {
        let words = try options.take("RestartPolicy", String.self)
        let backoff = try options.duration("RestartBackoffUSec")
        let attempts = try options.take("RestartMaximumAttempts", UInt32.self)
        let stable = try options.duration("RestartStableAfterUSec")
        guard words != nil || backoff != nil || attempts != nil || stable != nil else { return nil }
        guard let mode = words.map({ Mode(rawValue: $0) }) ?? .never else {
            let known = Mode.allCases.map(\.rawValue).joined(separator: ", ")
            throw AgentError(
                .invalidArgument,
                code: "invalid_restart_policy",
                "RestartPolicy '\((words ?? "").prefix(50))' is not one of \(known)"
            )
        }
        self.init(
            mode: mode,
            backoff: backoff ?? Self.defaultBackoff,
            maximumAttempts: attempts.flatMap { $0 == 0 ? nil : Int($0) },
            stableAfter: stable ?? Self.defaultStableAfter
        )
    }
}

extension InstanceFilter {
    init(_ filter: [String: Variant]) throws(AgentError) {
        self.init()
        var options = Options(filter)
        state = try options.take("State", String.self).map { text throws(AgentError) in try InstanceState(text: text) }
        tags = try options.take("Labels") ?? [:]
        try options.finish()
    }
}

extension InstanceState {
    /// - Throws: `invalidArgument` `invalid_state_name`.
    init(text: String) throws(AgentError) {
        guard let state = InstanceState(rawValue: text) else {
            let known = Self.allCases.map(\.rawValue).joined(separator: ", ")
            throw AgentError(
                .invalidArgument,
                code: "invalid_state_name",
                "state '\(text.prefix(50))' is not one of \(known)"
            )
        }
        self = state
    }
}

/// A command as a caller asked for it.
struct ExecOptions {
    private static let defaultPatience = Duration.seconds(10)
    private static let longestPatience = Duration.seconds(300)

    var request: ExecRequest
    /// How long an instance that is still starting is waited for.
    var patience: Duration

    /// - Parameters:
    ///   - arguments: The program and its arguments; none is a shell.
    ///   - given: More about it.
    ///   - hasTerminal: Whether it has one, of a size that the options may name.
    /// - Throws: `invalidArgument`.
    init(_ arguments: [String], _ given: [String: Variant], hasTerminal: Bool) throws(AgentError) {
        var options = Options(given)
        let environment = try options.take("Environment", [String: String].self) ?? [:]
        if let name = environment.keys.first(where: { $0.isEmpty || $0.contains("=") }) {
            throw AgentError(
                .invalidArgument,
                code: "invalid_env",
                "'\(name.prefix(100))' is not the name of an environment variable"
            )
        }
        var size: TerminalSize?
        if hasTerminal {
            size = TerminalSize(
                rows: Int(try options.take("Rows", UInt32.self) ?? 24),
                columns: Int(try options.take("Columns", UInt32.self) ?? 80)
            )
        }
        let timeout = try options.duration("TimeoutUSec")
        patience = min(try options.duration("PatienceUSec") ?? Self.defaultPatience, Self.longestPatience)
        request = ExecRequest(
            program: GuestProgram(
                arguments: arguments.isEmpty ? ["/bin/sh"] : arguments,
                environment: environment.map { "\($0.key)=\($0.value)" }.sorted(),
                workingDirectory: try options.take("WorkingDirectory") ?? "",
                user: try options.take("User") ?? ""
            ),
            terminal: size,
            stdin: true,
            timeoutMilliseconds: timeout.map { Int($0.microsecondsValue / 1000) }.flatMap { $0 > 0 ? $0 : nil }
        )
        try options.finish()
    }
}

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
        try EnvironmentNames.check(environment)
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
        maximumVCPUs = try options.take("MaximumVCPUs", UInt32.self).map(Int.init)
        memoryRoom = try options.number("MemoryRoom").map { ByteSize(bytes: $0) }
        diskRate = try options.number("DiskRate").map { ByteSize(bytes: $0) }
        volumes = try (options.take("Volumes", [MountRequestValue].self) ?? []).map { volume throws(AgentError) in
            try volume.request()
        }
        try options.finish()
    }
}

extension UpdateInstanceRequest {
    /// The size that a caller wants an instance to have.
    ///
    /// - Throws: `invalidArgument`, `missing_field` if it wants none.
    init(size: [String: Variant]) throws(AgentError) {
        var options = Options(size)
        self.init(
            vcpus: try options.take("VCPUs", UInt32.self).map(Int.init),
            memory: try options.number("Memory").map { ByteSize(bytes: $0) }
        )
        try options.finish()
        guard vcpus != nil || memory != nil else {
            throw AgentError(.invalidArgument, code: "missing_field", "VCPUs or Memory is required")
        }
    }
}

extension ForkInstanceRequest {
    /// - Parameters:
    ///   - name: Of the new instance.
    ///   - given: More about it.
    ///   - ofSnapshot: Whether it is a fork of something that stands still anyhow.
    /// - Throws: `invalidArgument`.
    init(_ name: String, _ given: [String: Variant], ofSnapshot: Bool) throws(AgentError) {
        self.init(name: try InstanceName(name))
        var options = Options(given)
        target = try options.take("TargetState", String.self).map { text throws(AgentError) in
            try InstanceState(target: text, of: "TargetState")
        }
        if !ofSnapshot { fromRunning = try options.take("FromRunning") ?? false }
        publishedPorts = try (options.take("Ports", [PortValue].self) ?? []).map { port throws(AgentError) in
            try port.port()
        }
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
        let mode = try words.map { word throws(AgentError) in
            try Mode(word: word, of: "RestartPolicy", code: "invalid_restart_policy")
        }
        self.init(
            mode: mode ?? .never,
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
    /// The state that something new or brought back is to be in.
    ///
    /// - Throws: `invalidArgument` `invalid_state_name`, or `invalid_target_state` for one that nothing can be put in.
    init(target text: String, of field: String) throws(AgentError) {
        try self.init(text: text)
        guard [.running, .standby, .stopped].contains(self) else {
            throw AgentError(
                .invalidArgument,
                code: "invalid_target_state",
                "\(field) '\(text)' is not Running, Standby or Stopped"
            )
        }
    }
}

/// How a caller wants to attach to an instance's program.
struct AttachOptions {
    var request: AttachInstanceRequest
    /// How long an instance that is still starting is waited for.
    var patience: Duration

    /// - Throws: `invalidArgument`.
    init(_ given: [String: Variant]) throws(AgentError) {
        var options = Options(given)
        let rows = try options.take("Rows", UInt32.self)
        let columns = try options.take("Columns", UInt32.self)
        request = AttachInstanceRequest(includesLog: try options.take("Logs") ?? false)
        if let rows, let columns { request.size = TerminalSize(rows: Int(rows), columns: Int(columns)) }
        patience = try options.patience()
        try options.finish()
    }
}

/// A command as a caller asked for it.
struct ExecOptions {
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
        try EnvironmentNames.check(environment)
        var size: TerminalSize?
        if hasTerminal {
            size = TerminalSize(
                rows: Int(try options.take("Rows", UInt32.self) ?? 24),
                columns: Int(try options.take("Columns", UInt32.self) ?? 80)
            )
        }
        let timeout = try options.duration("TimeoutUSec")
        patience = try options.patience()
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

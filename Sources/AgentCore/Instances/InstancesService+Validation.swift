import GuestProtocol

extension InstancesService {
    static let defaultVCPUs = 2
    static let defaultMemory = ByteSize.gibibytes(1)
    static let defaultOverlaySize = ByteSize.gibibytes(10)
    /// The least that a Debian kernel and our init boot in.
    static let minimumMemory = ByteSize.mebibytes(128)
    /// The least that an ext4 with a journal needs.
    static let minimumOverlaySize = ByteSize.mebibytes(16)
    /// Two full frames a second.
    static let minimumBandwidth = BitRate(bitsPerSecond: 24_000)
    /// Each is a rule or an element of a set on the host.
    static let maximumPublishedPorts = 256

    /// Checks everything about a request before anything is made.
    func validated(_ request: CreateInstanceRequest) async throws -> InstanceSpecification {
        let image = try context.images.get(request.image)
        guard image.status == .ready, let configuration = image.configuration else {
            let why = image.error.map { ": \($0)" } ?? ""
            throw AgentError(
                .invalidState,
                code: "image_not_ready",
                "image '\(image.name)' is \(image.status.rawValue)\(why)"
            )
        }
        let specification = InstanceSpecification(
            name: request.name,
            image: image.name,
            imageDigest: image.digest,
            vcpus: try vcpus(request.vcpus),
            memory: try memory(request.memory),
            overlaySize: try overlaySize(request.overlaySize),
            environment: try environment(request.environment),
            entrypoint: request.entrypoint,
            command: request.command,
            workingDirectory: try workingDirectory(request.workingDirectory),
            user: request.user,
            tags: try tags(request.tags),
            hypervisor: request.hypervisor,
            networkEnabled: try networkEnabled(request.networkEnabled),
            bandwidth: try bandwidth(request),
            publishedPorts: try publishedPorts(request),
            terminal: request.terminal,
            openStandardInput: request.openStandardInput,
            restartPolicy: try restartPolicy(request.restartPolicy)
        )
        let program = try GuestProgram(specification, image: configuration)
        _ = try GuestConfiguration.mode(of: program, specification)
        if let name = request.hypervisor { _ = try context.hypervisors.driver(named: name) }
        return specification
    }

    func vcpus(_ asked: Int?) throws(AgentError) -> Int {
        let count = asked ?? min(Self.defaultVCPUs, context.configuration.maximumVCPUs)
        guard count >= 1 else {
            throw AgentError(.invalidArgument, code: "invalid_vcpus", "vcpus is \(count); it must be 1 or more")
        }
        guard count <= context.configuration.maximumVCPUs else {
            throw AgentError(
                .quotaExceeded,
                "\(count) vCPUs are more than the \(context.configuration.maximumVCPUs) that MAX_VCPUS_PER_INSTANCE allows"
            )
        }
        return count
    }

    func memory(_ asked: ByteSize?) throws(AgentError) -> ByteSize {
        let size = asked ?? min(Self.defaultMemory, context.configuration.maximumMemory)
        guard size >= Self.minimumMemory else {
            throw AgentError(
                .invalidArgument,
                code: "invalid_size",
                "memory of \(size) is less than the \(Self.minimumMemory) that a guest needs"
            )
        }
        guard size <= context.configuration.maximumMemory else {
            throw AgentError(
                .quotaExceeded,
                "memory of \(size) is more than the \(context.configuration.maximumMemory) that MAX_MEMORY_PER_INSTANCE allows"
            )
        }
        // VMMs want whole MiB; a byte more would be refused there with worse words.
        guard size.bytes % ByteSize.mebibytes(1).bytes == 0 else {
            throw AgentError(
                .invalidArgument,
                code: "invalid_size",
                "memory of \(size.bytes) bytes is not a whole number of MB"
            )
        }
        return size
    }

    func overlaySize(_ asked: ByteSize?) throws(AgentError) -> ByteSize {
        let size = asked ?? min(Self.defaultOverlaySize, context.configuration.maximumOverlaySize)
        guard size >= Self.minimumOverlaySize else {
            throw AgentError(
                .invalidArgument,
                code: "invalid_overlay_size",
                "overlay of \(size) is smaller than \(Self.minimumOverlaySize)"
            )
        }
        guard size <= context.configuration.maximumOverlaySize else {
            throw AgentError(
                .invalidArgument,
                code: "invalid_overlay_size",
                "overlay of \(size) is larger than the \(context.configuration.maximumOverlaySize) that MAX_OVERLAY_SIZE allows"
            )
        }
        return size
    }

    /// A policy as it is stored: nil for one that never does anything.
    func restartPolicy(_ asked: RestartPolicy) throws(AgentError) -> RestartPolicy? {
        guard asked.mode != .never else { return nil }
        let wrong: String? =
            if asked.backoff < .milliseconds(100) || asked.backoff > .seconds(86_400) {
                "a backoff of \(asked.backoff) is not between 100ms and 24h"
            } else if let attempts = asked.maximumAttempts, attempts < 1 {
                "max_attempts is \(attempts); it must be 1 or more, or left out for no limit"
            } else if asked.stableAfter < .zero {
                "stable_after is \(asked.stableAfter); it cannot be negative"
            } else {
                nil
            }
        if let wrong { throw AgentError(.invalidArgument, code: "invalid_restart_policy", wrong) }
        return asked
    }

    private func environment(_ asked: [String: String]) throws(AgentError) -> [String: String] {
        for (name, value) in asked
        where name.isEmpty || name.contains("=") || name.contains("\0") || value.contains("\0") {
            throw AgentError(
                .invalidArgument,
                code: "invalid_env",
                "environment variable '\(name.prefix(80))' is not valid: "
                    + "a name is not empty and has no '=', and neither it nor the value has a NUL"
            )
        }
        return asked
    }

    private func workingDirectory(_ asked: String?) throws(AgentError) -> String? {
        if let asked, !asked.hasPrefix("/") || asked.contains("\0") {
            throw AgentError(
                .invalidArgument,
                code: "invalid_workdir",
                "working directory '\(asked.prefix(200))' is not an absolute path"
            )
        }
        return asked
    }

    private func tags(_ asked: [String: String]) throws(AgentError) -> [String: String] {
        try Tags.validate(asked)
        return asked
    }

    func networkEnabled(_ asked: Bool?) throws(AgentError) -> Bool {
        let isProvided = context.network.network != nil
        guard asked == true, !isProvided else { return asked ?? isProvided }
        throw noNetwork("set network.enabled to false")
    }

    private func noNetwork(_ remedy: String) -> AgentError {
        AgentError(
            .notSupported,
            code: "network_unavailable",
            "this agent has no network for instances (its network backend is '\(context.network.backend.name)'): \(remedy)"
        )
    }

    /// Refuses what is asked of a network that the instance isn't on.
    private func requireNetwork(_ request: CreateInstanceRequest, for what: String, code: String) throws(AgentError) {
        guard request.networkEnabled != false else {
            throw AgentError(.invalidArgument, code: code, "\(what) need a network, and network.enabled is false")
        }
        guard context.network.network != nil else { throw noNetwork("leave out \(what)") }
    }

    private func bandwidth(_ request: CreateInstanceRequest) throws(AgentError) -> BandwidthLimits {
        for (limit, code) in [
            (request.bandwidth.download, "invalid_bandwidth_download"),
            (request.bandwidth.upload, "invalid_bandwidth_upload"),
        ] {
            guard let limit else { continue }
            try requireNetwork(request, for: "bandwidth limits", code: code)
            guard limit >= Self.minimumBandwidth else {
                throw AgentError(
                    .invalidArgument,
                    code: code,
                    "a bandwidth of \(limit) is less than the \(Self.minimumBandwidth) that a connection needs"
                )
            }
        }
        return request.bandwidth
    }

    func publishedPorts(_ request: CreateInstanceRequest) throws(AgentError) -> [PublishedPort] {
        guard !request.publishedPorts.isEmpty else { return [] }
        try requireNetwork(request, for: "published ports", code: "invalid_ports")
        guard request.publishedPorts.count <= Self.maximumPublishedPorts else {
            throw AgentError(
                .invalidArgument,
                code: "invalid_ports",
                "\(request.publishedPorts.count) published ports are more than the \(Self.maximumPublishedPorts) that an "
                    + "instance can have"
            )
        }
        var seen: Set<String> = []
        for port in request.publishedPorts {
            guard port.hostPort > 0, port.guestPort > 0 else {
                throw AgentError(.invalidArgument, code: "invalid_ports", "port 0 in '\(port)' cannot be published")
            }
            guard seen.insert("\(port.hostPort)/\(port.transport.rawValue)").inserted else {
                throw AgentError(
                    .invalidArgument,
                    code: "invalid_ports",
                    "port \(port.hostPort)/\(port.transport.rawValue) of the host is published twice"
                )
            }
        }
        return request.publishedPorts
    }
}

import AgentAPI
import AgentCore

extension CreateInstanceRequest {
    /// What a client asked for, each field checked.
    init(_ body: CreateInstanceBody) throws(AgentError) {
        self.init(name: try InstanceName(body.name), image: try ImageReference(body.image))
        memory = try Self.size(body.size, "size")
        overlaySize = try Self.size(body.overlaySize, "overlay_size")
        if let count = body.vcpus, count < 1 {
            throw AgentError(.invalidArgument, code: "invalid_vcpus", "vcpus must be at least 1, not \(count)")
        }
        vcpus = body.vcpus
        environment = body.env ?? [:]
        try EnvironmentNames.check(environment)
        entrypoint = body.entrypoint.flatMap { $0.isEmpty ? nil : $0 }
        // An empty list is what some clients send for "not given"; beside a new entrypoint it means no arguments.
        command = body.cmd.flatMap { $0.isEmpty && entrypoint == nil ? nil : $0 }
        user = body.user.flatMap { $0.isEmpty ? nil : $0 }
        workingDirectory = body.workingDirectory.flatMap { $0.isEmpty ? nil : $0 }
        tags = body.tags ?? [:]
        networkEnabled = body.network?.enabled
        bandwidth.download = try Self.bandwidth(body.network?.bandwidthDownload, "bandwidth_download")
        bandwidth.upload = try Self.bandwidth(body.network?.bandwidthUpload, "bandwidth_upload")
        publishedPorts = try Self.ports(body.network?.ports)
        hypervisor = try Self.hypervisor(body.hypervisor)
        terminal = body.tty ?? false
        openStandardInput = body.stdinOpen ?? false
        volumes = try (body.volumes ?? []).map { volume throws(AgentError) in try VolumeMountRequest(volume) }
        if let policy = body.restartPolicy { restartPolicy = try RestartPolicy(policy) }
        maximumVCPUs = body.maximumVCPUs
        memoryRoom = try Self.room(body.hotplugSize)
        diskRate = try Self.diskRate(body.diskRate)
    }

    /// Without a word, and with 0, there is none.
    private static func room(_ text: String?) throws(AgentError) -> ByteSize? {
        if let text, let size = ByteSize(text), size.bytes == 0 { return nil }
        return try size(text, "hotplug_size")
    }

    private static func diskRate(_ text: String?) throws(AgentError) -> ByteSize? {
        guard let text, !text.isEmpty else { return nil }
        guard text.lowercased().hasSuffix("/s"), let rate = ByteSize(String(text.dropLast(2))), rate.bytes > 0 else {
            throw AgentError(
                .invalidArgument,
                code: "invalid_disk_io_bps",
                "disk_io_bps '\(text.prefix(100))' is not a rate: write a whole number, a unit and /s, as 100MB/s"
            )
        }
        return rate
    }

    static func size(_ text: String?, _ field: String) throws(AgentError) -> ByteSize? {
        guard let text, !text.isEmpty else { return nil }
        guard let size = ByteSize(text), size.bytes > 0 else {
            throw AgentError(
                .invalidArgument,
                code: "invalid_\(field)",
                "\(field) '\(text.prefix(100))' is not a size: write a whole number and a unit, as 512MB or 10GB"
            )
        }
        return size
    }

    private static func bandwidth(_ text: String?, _ field: String) throws(AgentError) -> BitRate? {
        guard let text, !text.isEmpty else { return nil }
        guard let rate = BitRate(text), rate.bitsPerSecond > 0 else {
            throw AgentError(
                .invalidArgument,
                code: "invalid_\(field)",
                "\(field) '\(text.prefix(100))' is not a bandwidth: write a whole number and a unit, as 10Mbps (bits) or "
                    + "2MB/s (bytes)"
            )
        }
        return rate
    }

    /// Ports as they are published; none is an empty list.
    static func ports(_ body: [PortMapping]?) throws(AgentError) -> [PublishedPort] {
        try (body ?? []).map { port throws(AgentError) in try Self.port(port) }
    }

    private static func port(_ body: PortMapping) throws(AgentError) -> PublishedPort {
        for (port, field) in [(body.hostPort, "host_port"), (body.guestPort, "guest_port")]
        where !(1...65535).contains(port) {
            throw AgentError(
                .invalidArgument,
                code: "invalid_ports",
                "\(field) \(port) is not a port: it must be from 1 to 65535"
            )
        }
        guard let transport = PublishedPort.Transport(rawValue: body.transport ?? "tcp") else {
            throw AgentError(
                .invalidArgument,
                code: "invalid_ports",
                "protocol '\((body.transport ?? "").prefix(20))' of port \(body.hostPort) is not known: use tcp or udp"
            )
        }
        return PublishedPort(
            hostPort: UInt16(body.hostPort),
            guestPort: UInt16(body.guestPort),
            transport: transport
        )
    }

    private static func hypervisor(_ text: String?) throws(AgentError) -> HypervisorName? {
        switch text {
        case nil, "": return nil
        case "qemu", "cloud-hypervisor": return text.map(HypervisorName.init)
        case "firecracker", "vz", "qemu-microvm":
            throw AgentError(
                .notSupported,
                code: "not_implemented",
                "hypervisor '\(text ?? "")' is not implemented by this agent"
            )
        default:
            throw AgentError(
                .invalidArgument,
                code: "invalid_hypervisor",
                "hypervisor '\((text ?? "").prefix(100))' is not known: use qemu or cloud-hypervisor, or leave it out"
            )
        }
    }
}

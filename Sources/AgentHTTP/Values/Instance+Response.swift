import AgentAPI
import AgentCore
import GuestProtocol

extension InstanceResponse {
    /// An instance in the form of the API.
    init(_ instance: Instance) {
        let specification = instance.specification
        self.init(
            id: instance.id.rawValue,
            name: instance.name.rawValue,
            image: specification.image,
            state: instance.state.rawValue,
            size: specification.memory.description,
            overlaySize: specification.overlaySize.description,
            vcpus: specification.vcpus,
            network: Network(instance),
            createdAt: instance.createdAt
        )
        stateError = instance.stateError
        env = specification.environment.isEmpty ? nil : specification.environment
        entrypoint = specification.entrypoint
        cmd = specification.command
        user = specification.user
        workingDirectory = specification.workingDirectory
        tags = specification.tags.isEmpty ? nil : specification.tags
        tty = specification.terminal
        stdinOpen = specification.openStandardInput
        hypervisor = (instance.hypervisor ?? specification.hypervisor)?.rawValue
        startedAt = instance.startedAt
        stoppedAt = instance.stoppedAt
        exitCode = instance.exit?.code
        exitMessage = instance.exit?.message
        exitReason = instance.exit?.reason.rawValue
        hasSnapshot = instance.standby != nil
        volumes = specification.volumes.isEmpty ? nil : specification.volumes.map(VolumeMountBody.init)
        restartPolicy = instance.specification.restartPolicy.map(RestartPolicyBody.init)
        if instance.specification.restartPolicy != nil { restarts = instance.restarts }
        nextRestartAt = instance.nextRestart
        let largest = specification.largestSize
        hotplugSize = ByteSize(bytes: largest.memory.bytes - specification.memory.bytes).description
        if largest.vcpus > specification.vcpus { maximumVCPUs = largest.vcpus }
        diskRate = specification.diskRate.map { "\($0.exact)/s" }
        if !instance.phases.isEmpty {
            phaseDurations = Dictionary(
                uniqueKeysWithValues: instance.phases.map { ($0.key.rawValue, $0.value.milliseconds) }
            )
        }
    }
}

extension InstanceResponse.Network {
    init(_ instance: Instance) {
        let specification = instance.specification
        self.init(
            enabled: instance.attachment != nil || specification.networkEnabled,
            name: instance.attachment?.network,
            ip: instance.attachment?.address.description,
            mac: instance.attachment?.mac.description
        )
        bandwidthDownload = specification.bandwidth.download?.description
        bandwidthUpload = specification.bandwidth.upload?.description
        guard !specification.publishedPorts.isEmpty else { return }
        ports = specification.publishedPorts.map { port in
            PortMapping(
                hostPort: Int(port.hostPort),
                guestPort: Int(port.guestPort),
                transport: port.transport.rawValue
            )
        }
    }
}

extension InstanceStatsResponse {
    init(_ usage: InstanceUsage) {
        let specification = usage.instance.specification
        self.init(
            instanceID: usage.instance.id.rawValue,
            instanceName: usage.instance.name.rawValue,
            cpuSeconds: usage.machine.map { Double($0.cpuTime.milliseconds) / 1000 } ?? 0,
            residentMemory: usage.machine?.residentMemory.bytes ?? 0,
            virtualMemory: usage.machine?.virtualMemory.bytes ?? 0,
            receivedBytes: usage.network.map { Int(clamping: $0.receivedBytes) } ?? 0,
            sentBytes: usage.network.map { Int(clamping: $0.sentBytes) } ?? 0,
            allocatedVCPUs: specification.vcpus,
            allocatedMemory: specification.memory.bytes
        )
        guard let disks = usage.machine?.disks else { return }
        diskReadBytes = Int(clamping: disks.readBytes)
        diskWrittenBytes = Int(clamping: disks.writtenBytes)
        diskReads = Int(clamping: disks.reads)
        diskWrites = Int(clamping: disks.writes)
    }
}

extension WaitResponse {
    init(_ result: InstanceWaitResult) {
        self.init(
            state: result.instance.state.rawValue,
            stateError: result.instance.stateError,
            timedOut: result.timedOut,
            exitCode: result.instance.exit?.code,
            exitMessage: result.instance.exit?.message
        )
    }
}

extension LogRecordResponse {
    init(_ line: LogLine) {
        let text = String(validating: line.bytes, as: UTF8.self)
        self.init(
            time: line.time,
            stream: line.stream.rawValue,
            text: text,
            base64: text == nil ? Base64.encode(line.bytes) : nil,
            partial: line.isPartial
        )
    }
}

extension Duration {
    /// Whole milliseconds.
    var milliseconds: Int {
        Int(components.seconds) * 1000 + Int(components.attoseconds / 1_000_000_000_000_000)
    }
}

extension InstancesService {
    /// What older clients send with every request, whether or not anybody wants it.
    private static let customaryRoom = ByteSize.gibibytes(3)
    /// Less would take a guest minutes to boot with.
    static let minimumDiskRate = ByteSize.mebibytes(1)

    /// Checks what an instance may be given while it runs, beyond what it starts with.
    ///
    /// A customary room that there isn't is left out rather than refused, since nobody asked for it.
    func addRoom(to specification: inout InstanceSpecification, _ request: CreateInstanceRequest) async throws {
        guard request.maximumVCPUs != nil || request.memoryRoom != nil else { return }
        let isCustomary = request.memoryRoom == Self.customaryRoom && request.maximumVCPUs == nil
        let (driver, information) = try await context.hypervisors.select(request.hypervisor)
        guard information.capabilities.resize else {
            if isCustomary { return }
            throw AgentError(
                .notSupported,
                code: "resize_not_supported",
                "\(driver.name) \(information.version) cannot resize a machine that runs: leave out max_vcpus and "
                    + "hotplug_size"
            )
        }
        if let count = request.maximumVCPUs {
            guard count >= specification.vcpus else {
                throw AgentError(
                    .invalidArgument,
                    code: "invalid_max_vcpus",
                    "max_vcpus is \(count), less than the \(specification.vcpus) vCPUs that the instance starts with"
                )
            }
            specification.largestVCPUs = try vcpus(count)
        }
        guard let room = request.memoryRoom else { return }
        let (bytes, overflow) = specification.memory.bytes.addingReportingOverflow(room.bytes)
        let limit = context.configuration.maximumMemory
        if overflow || bytes > limit.bytes, request.memoryRoom == Self.customaryRoom {
            specification.largestMemory = limit
            return
        }
        guard !overflow, bytes <= limit.bytes else {
            throw AgentError(
                .quotaExceeded,
                "memory of \(specification.memory) and hotplug_size of \(room) are more than the \(limit) that "
                    + "MAX_MEMORY_PER_INSTANCE allows"
            )
        }
        guard room.bytes % ByteSize.mebibytes(1).bytes == 0 else {
            throw AgentError(
                .invalidArgument,
                code: "invalid_hotplug_size",
                "hotplug_size of \(room.bytes) bytes is not a whole number of MB"
            )
        }
        specification.largestMemory = ByteSize(bytes: bytes)
    }

    func diskRate(_ asked: ByteSize?) throws(AgentError) -> ByteSize? {
        guard let asked, asked < Self.minimumDiskRate else { return asked }
        throw AgentError(
            .invalidArgument,
            code: "invalid_disk_io_bps",
            "disk_io_bps of \(asked.exact)/s is less than the \(Self.minimumDiskRate.exact)/s that a guest needs"
        )
    }
}

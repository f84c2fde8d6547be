/// The body of `GET /instances/{id}/stats`: what it has used since it was last started, and what it was promised.
///
/// While it does not run, what it used is 0.
public struct InstanceStatsResponse: Codable, Sendable, Hashable {
    public var instanceID: String
    public var instanceName: String
    /// Of the VMM's process, its own work included.
    public var cpuSeconds: Double
    public var residentMemory: Int
    public var virtualMemory: Int
    /// Towards the instance.
    public var receivedBytes: Int
    /// From the instance.
    public var sentBytes: Int
    public var allocatedVCPUs: Int
    public var allocatedMemory: Int
    /// Resident memory by that promised.
    public var memoryUtilization: Double?
    /// What its disks were asked for; nil where nobody counts it.
    public var diskReadBytes: Int?
    public var diskWrittenBytes: Int?
    public var diskReads: Int?
    public var diskWrites: Int?

    enum CodingKeys: String, CodingKey {
        case instanceID = "instance_id"
        case instanceName = "instance_name"
        case cpuSeconds = "cpu_seconds"
        case residentMemory = "memory_rss_bytes"
        case virtualMemory = "memory_vms_bytes"
        case receivedBytes = "network_rx_bytes"
        case sentBytes = "network_tx_bytes"
        case allocatedVCPUs = "allocated_vcpus"
        case allocatedMemory = "allocated_memory_bytes"
        case memoryUtilization = "memory_utilization_ratio"
        case diskReadBytes = "disk_read_bytes"
        case diskWrittenBytes = "disk_write_bytes"
        case diskReads = "disk_reads"
        case diskWrites = "disk_writes"
    }

    public init(
        instanceID: String,
        instanceName: String,
        cpuSeconds: Double,
        residentMemory: Int,
        virtualMemory: Int,
        receivedBytes: Int,
        sentBytes: Int,
        allocatedVCPUs: Int,
        allocatedMemory: Int
    ) {
        self.instanceID = instanceID
        self.instanceName = instanceName
        self.cpuSeconds = cpuSeconds
        self.residentMemory = residentMemory
        self.virtualMemory = virtualMemory
        self.receivedBytes = receivedBytes
        self.sentBytes = sentBytes
        self.allocatedVCPUs = allocatedVCPUs
        self.allocatedMemory = allocatedMemory
        memoryUtilization = allocatedMemory > 0 ? Double(residentMemory) / Double(allocatedMemory) : nil
    }
}

/// What a host has.
public struct HostCapacity: Sendable, Hashable {
    /// Processors that run at the same time, counted as the kernel does.
    public var processors: Int
    public var memory: ByteSize
    /// The whole file system that images and overlays are on.
    public var disk: ByteSize
    /// The speed of the link that leads out; nil where it has none of its own, as a virtual one, or is down.
    public var uplink: BitRate?

    public init(processors: Int, memory: ByteSize, disk: ByteSize, uplink: BitRate?) {
        self.processors = processors
        self.memory = memory
        self.disk = disk
        self.uplink = uplink
    }
}

/// Looks at the host that the agent runs on.
public protocol HostProbe: Sendable {
    /// What the host has at this moment: processors, disks and links come and go.
    ///
    /// - Throws: `unavailable` if the kernel does not say.
    func capacity() async throws -> HostCapacity
}

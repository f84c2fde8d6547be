public import SystemPackage

/// Which of the packaged units runs a process, where systemd does.
public enum ProcessUnit: Sendable, Hashable {
    /// A VMM, whose runtime directory is that of its instance.
    case machine(InstanceID)
    /// The name service of the network on this bridge.
    case nameService(bridge: String)

    /// As systemd calls it.
    public var name: String {
        switch self {
        case .machine(let instance): "hypeman-vm@\(instance).service"
        case .nameService(let bridge): "hypeman-dnsmasq@\(bridge).service"
        }
    }
}

/// A file of the agent's that a process is to open.
public struct ProcessFile: Sendable, Hashable {
    public var path: FilePath
    public var isWritable: Bool

    public init(path: FilePath, isWritable: Bool) {
        self.path = path
        self.isWritable = isWritable
    }
}

/// What a process may use of the host at most, where that can be limited.
public struct ProcessLimits: Sendable, Hashable {
    /// Beyond it the kernel ends it: ``ProcessExit/outOfMemory``.
    public var memory: ByteSize?
    /// As many of the host's processors; a fraction is a share of one.
    public var processors: Double?

    public init(memory: ByteSize? = nil, processors: Double? = nil) {
        self.memory = memory
        self.processors = processors
    }
}

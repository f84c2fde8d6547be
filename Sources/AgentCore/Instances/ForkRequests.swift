/// What a caller asks for when forking an instance or a snapshot.
public struct ForkInstanceRequest: Sendable, Hashable {
    /// Of the new instance.
    public var name: InstanceName
    /// Whether a source that runs may be made to stand still meanwhile.
    public var fromRunning: Bool
    /// `running`, `standby` or `stopped`; nil is what the source is, and Standby for one that is Paused.
    public var target: InstanceState?
    /// The source's own are not copied: they are taken.
    public var publishedPorts: [PublishedPort]

    public init(
        name: InstanceName,
        fromRunning: Bool = false,
        target: InstanceState? = nil,
        publishedPorts: [PublishedPort] = []
    ) {
        self.name = name
        self.fromRunning = fromRunning
        self.target = target
        self.publishedPorts = publishedPorts
    }
}

/// What a new instance begins with, beside the copy of a disk that it has already.
struct ForkOrigin: Sendable {
    /// What it is to become.
    var target: InstanceState
    /// The memory in the snapshot that was begun for it; nil for a disk alone.
    var memory: SavedMemory?
    /// Files of that memory which are another snapshot's, too.
    var shared: [SnapshotManifest.File] = []
}

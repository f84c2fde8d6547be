public import SystemPackage

/// The directory of one machine's sockets.
///
/// A type of its own so that it is not taken for a disk's directory.
public struct RuntimeDirectory: Sendable, Hashable {
    public var path: FilePath
    public init(path: FilePath) { self.path = path }
}

/// The directory that one machine is saved in.
public struct SnapshotDirectory: Sendable, Hashable {
    public var path: FilePath
    public init(path: FilePath) { self.path = path }
}

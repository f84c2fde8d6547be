public import GuestProtocol
import NIOPosix

/// How a guest mounts volumes whose disks come and go while it runs.
///
/// Both need a kernel that is the guest's own; whoever has none gives others. They may block, and are called one at a time.
public struct VolumeMounting: Sendable {
    /// Does it; returns why it was not done, nil if it was.
    public typealias Change = @Sendable (GuestVolume) -> String?

    /// Mounts and unmounts in the order in which they were asked for.
    static let thread: NIOThreadPool = {
        let pool = NIOThreadPool(numberOfThreads: 1)
        pool.start()
        return pool
    }()

    let mount: Change
    let unmount: Change

    /// - Parameters:
    ///   - mount: Waits for the disk and mounts it; a volume that is mounted already is left so.
    ///   - unmount: Unmounts it unless somebody uses it; one that is not mounted is no failure.
    public init(mount: @escaping Change, unmount: @escaping Change) {
        self.mount = mount
        self.unmount = unmount
    }
}

import Synchronization

/// The end of the run that an instance is in: it is Stopped, or starts anew, or is deleted.
///
/// All output of the run is in the log by then.
final class InstanceRunEnd: Sendable {
    private let changes: AsyncStream<Instance>
    private let last: Mutex<Instance>

    /// The end of the run in which `instance` is, or is about to be.
    init(of instance: Instance, in directory: InstanceDirectory) {
        changes = directory.changes(of: instance.id)
        last = Mutex(instance)
    }

    /// The instance as it was last seen in this run.
    var instance: Instance { last.withLock { $0 } }

    /// Returns at the end, or when the task is cancelled; for one caller.
    func wait() async {
        // A create is stored before it is the first boot.
        let boot = max(instance.boots, 1)
        for await instance in changes {
            if instance.boots > boot { return }
            last.withLock { $0 = instance }
            if instance.state == .stopped { return }
        }
    }
}

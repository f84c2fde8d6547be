import DBus
import Synchronization

/// What operations are about, for whoever decides who may see them.
final class OperationTargets: Sendable {
    private let targets = Mutex<[ObjectPath: ObjectPath]>([:])

    /// The object that an operation is about; nil for one that is not known.
    subscript(operation: ObjectPath) -> ObjectPath? {
        get { targets.withLock { $0[operation] } }
        set { targets.withLock { $0[operation] = newValue } }
    }
}

import Glibc
import Threads

/// A thread of its own for work on files.
public enum TreeThread {
    /// Runs `body` on a new thread.
    ///
    /// - Throws: ``TreeFailure`` if there cannot be another thread.
    public static func start(_ body: @escaping @Sendable () -> Void) throws(TreeFailure) {
        let result = DetachedThread.start(body)
        guard result != 0 else { return }
        throw TreeFailure(.other, "cannot start a thread for the copy: \(String(cString: strerror(result)))")
    }
}

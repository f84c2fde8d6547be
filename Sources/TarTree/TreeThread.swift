import Glibc

/// A thread of its own for work on files, which may block as long as it likes.
public enum TreeThread {
    private final class Box: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }

    /// Runs `body` on a new thread.
    ///
    /// - Throws: ``TreeFailure`` if there cannot be another thread.
    public static func start(_ body: @escaping @Sendable () -> Void) throws(TreeFailure) {
        let box = Unmanaged.passRetained(Box(body))
        var thread = pthread_t()
        let result = pthread_create(
            &thread,
            nil,
            { box in
                guard let box else { return nil }
                Unmanaged<Box>.fromOpaque(box).takeRetainedValue().body()
                return nil
            },
            box.toOpaque()
        )
        guard result == 0 else {
            box.release()
            throw TreeFailure(.other, "cannot start a thread for the copy: \(String(cString: strerror(result)))")
        }
        pthread_detach(thread)
    }
}

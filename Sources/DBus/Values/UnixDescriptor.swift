import Glibc
import Synchronization

/// An open file on its way to or from a peer, closed when nobody refers to it any more.
public final class UnixDescriptor: Sendable, Hashable {
    private let descriptor: Mutex<Int32?>

    /// Takes over an open descriptor.
    public init(owning descriptor: Int32) { self.descriptor = Mutex(descriptor) }

    deinit { if let number = descriptor.withLock({ $0 }) { close(number) } }

    /// Hands the descriptor out: whoever calls closes it from now on.
    ///
    /// - Returns: nil if it was handed out before.
    public func take() -> Int32? {
        descriptor.withLock { descriptor in
            defer { descriptor = nil }
            return descriptor
        }
    }

    /// Runs `body` with the open descriptor; nil if it was handed out.
    func withDescriptor<Value: Sendable>(_ body: (Int32) -> Value) -> Value? {
        // Held for that long, so that nobody takes it and closes it meanwhile.
        descriptor.withLock { number -> Value? in
            guard let number else { return nil }
            return body(number)
        }
    }

    public static func == (left: UnixDescriptor, right: UnixDescriptor) -> Bool { left === right }
    public func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(self)) }
}

import CLinux
import Foundation
import Glibc
import SystemPackage

/// A second descriptor of a connected socket, for what the first one's owner cannot send.
final class SocketCopy: Sendable {
    private let descriptor: FileDescriptor

    /// - Parameter descriptor: Stays its owner's.
    init(of descriptor: Int32) {
        // A copy that cannot be made is a socket that nothing can be sent over, which says so.
        self.descriptor = FileDescriptor(rawValue: fcntl(descriptor, F_DUPFD_CLOEXEC, 3))
    }

    deinit {
        // Nothing can be said of a descriptor that does not close.
        try? descriptor.close()
    }

    /// Sends bytes with a file.
    ///
    /// Called where the first descriptor is written to, when nothing waits to be written there.
    ///
    /// - Throws: `Errno`; nothing that can be used was sent then.
    func send(_ bytes: Data, with file: FileDescriptor) throws {
        let result = bytes.withUnsafeBytes {
            clinux_send_descriptor(descriptor.rawValue, $0.baseAddress, $0.count, file.rawValue)
        }
        guard result == 0 else { throw Errno(rawValue: errno) }
    }
}

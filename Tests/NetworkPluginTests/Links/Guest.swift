import AgentCore
import AgentTestSupport
import Foundation
import Synchronization

@testable import NetworkPlugin

/// Stands for a VMM: has a TAP open, and counts what it reads from it.
final class Guest: Sendable {
    /// The virtio-net header before each frame (struct virtio_net_hdr in linux/virtio_net.h): nothing is offloaded.
    private static let headerSize = 10

    private let device: TapDevice
    private let reader = Reader()

    static func open(_ tap: TapDescription, in fixture: LinkFixture) async throws -> Guest {
        let name = tap.name
        return try await fixture.links.network.run { try Guest(name) }
    }

    private init(_ name: String) throws {
        device = try TapDevice(name, isNew: false)
        Thread.detachNewThread { [reader, descriptor = device.descriptor] in reader.read(descriptor) }
    }

    deinit {
        // Before the descriptor is closed and its number used by others.
        reader.stop()
    }

    /// Of whole frames, since it was opened.
    var receivedBytes: Int { reader.bytes.load(ordering: .relaxed) }

    func send(_ frame: [UInt8]) throws {
        let packet = [UInt8](repeating: 0, count: Self.headerSize) + frame
        guard packet.withUnsafeBytes({ write(device.descriptor, $0.baseAddress, $0.count) }) == packet.count else {
            throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO)
        }
    }

    private final class Reader: Sendable {
        let bytes = Atomic(0)
        private let isReading = Atomic(true)
        private let ended = DispatchSemaphore(value: 0)

        func stop() {
            isReading.store(false, ordering: .relaxed)
            ended.wait()
        }

        func read(_ descriptor: Int32) {
            defer { ended.signal() }
            var buffer = [UInt8](repeating: 0, count: 1 << 17)
            while isReading.load(ordering: .relaxed) {
                var wait = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
                guard poll(&wait, 1, 50) > 0 else { continue }
                let length = Glibc.read(descriptor, &buffer, buffer.count)
                if length > headerSize {
                    bytes.add(length - headerSize, ordering: .relaxed)
                } else if length < 0, errno != EAGAIN {
                    // The device was removed.
                    return
                }
            }
        }
    }
}

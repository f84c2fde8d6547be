import AgentCore
import AgentTestSupport
import Foundation
import Synchronization

@testable import NetworkPlugin

/// Offers frames at a rate, from a thread of its own.
final class Sender: Sendable {
    private let isSending = Atomic(true)
    private let ended = DispatchSemaphore(value: 0)

    init(bytesPerSecond: Int, frameLength: Int, _ send: @escaping @Sendable () -> Void) {
        Thread.detachNewThread { [self] in
            let clock = ContinuousClock()
            let start = clock.now
            var sent = 0
            while isSending.load(ordering: .relaxed) {
                let due = Int((clock.now - start) / .microseconds(1)) * bytesPerSecond / 1_000_000
                // What could not be sent in time is not made up for in one go.
                sent = max(sent, due - bytesPerSecond / 20)
                while sent < due {
                    send()
                    sent += frameLength
                }
                usleep(500)
            }
            ended.signal()
        }
    }

    func stop() {
        isSending.store(false, ordering: .relaxed)
        ended.wait()
    }
}

/// A UDP socket in a fixture's namespace, at the port of the discard service (RFC 863).
final class DatagramSocket: Sendable {
    private let descriptor: Int32
    private static let port: UInt16 = 9

    static func open(in fixture: LinkFixture) async throws -> DatagramSocket {
        try await fixture.links.network.run { try DatagramSocket() }
    }

    private init() throws {
        descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
        guard descriptor >= 0 else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO) }
    }

    deinit { close(descriptor) }

    /// Also drops, where the link's queue is full, as UDP does.
    func send(_ datagram: [UInt8], to address: IPv4Address) {
        var destination = sockaddr_in()
        destination.sin_family = sa_family_t(AF_INET)
        destination.sin_port = Self.port.bigEndian
        destination.sin_addr.s_addr = address.value.bigEndian
        withUnsafePointer(to: destination) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { destination in
                let size = socklen_t(MemoryLayout<sockaddr_in>.size)
                _ = sendto(descriptor, datagram, datagram.count, Int32(MSG_DONTWAIT), destination, size)
            }
        }
    }
}

import AgentCore
import AgentTestSupport
import Foundation
import Glibc
import SystemPackage

@testable import NetworkPlugin

/// Ethernet frames as they are, on one device of a namespace (packet(7)).
final class FrameSocket: Sendable {
    private let socket: Int32
    private let queue = DispatchQueue(label: "test.frames")

    private init(_ socket: Int32) { self.socket = socket }

    static func open(_ namespace: TestNamespace, _ device: String) async throws -> FrameSocket {
        try await HostNetwork(namespace: namespace.name).run {
            // ETH_P_ALL of linux/if_ether.h
            let all = UInt16(3).bigEndian
            let socket = Glibc.socket(AF_PACKET, Int32(SOCK_RAW.rawValue), Int32(all))
            guard socket >= 0 else { throw Errno(rawValue: errno) }
            // struct sockaddr_ll: family, protocol, index, hardware type, packet type, length and bytes of an address.
            var address = [UInt8](repeating: 0, count: 20)
            address.withUnsafeMutableBytes {
                $0.storeBytes(of: UInt16(AF_PACKET), toByteOffset: 0, as: UInt16.self)
                $0.storeBytes(of: all, toByteOffset: 2, as: UInt16.self)
                $0.storeBytes(of: Int32(if_nametoindex(device)), toByteOffset: 4, as: Int32.self)
            }
            let bound = address.withUnsafeBytes { bytes in
                bytes.withMemoryRebound(to: sockaddr.self) { bind(socket, $0.baseAddress, 20) }
            }
            guard bound == 0 else { throw Errno(rawValue: errno) }
            Sockets.set(socket, SO_RCVTIMEO, timeval(tv_sec: 1, tv_usec: 0))
            return FrameSocket(socket)
        }
    }

    func close() { _ = Glibc.close(socket) }

    func send(_ frame: [UInt8]) throws {
        let padded = frame + Array(repeating: 0, count: max(0, 60 - frame.count))
        guard Glibc.send(socket, padded, padded.count, 0) == padded.count else { throw Errno(rawValue: errno) }
    }

    /// Takes frames until one contains each of these texts, at most for a minute.
    ///
    /// - Returns: All that came, as text.
    func receive(until tags: Set<String>) async throws -> [String] {
        try await withCheckedThrowingContinuation { continuation in
            queue.async { continuation.resume(with: Result { try self.frames(until: tags) }) }
        }
    }

    private func frames(until tags: Set<String>) throws -> [String] {
        var missing = tags
        var frames: [String] = []
        var buffer = [UInt8](repeating: 0, count: 2048)
        let deadline = ContinuousClock.now + .seconds(60)
        while !missing.isEmpty {
            guard ContinuousClock.now < deadline else {
                throw ToolFailure(description: "no frame with \(missing.sorted()) came")
            }
            let count = recv(socket, &buffer, buffer.count, 0)
            guard count > 0 else { continue }
            let text = String(decoding: buffer[..<count].map { (32..<127).contains($0) ? $0 : 46 }, as: UTF8.self)
            frames.append(text)
            missing = missing.filter { !text.contains($0) }
        }
        return frames
    }
}

/// Builds frames.
enum Frame {
    static let broadcast = MACAddress(bytes: Array(repeating: 0xff, count: 6))

    /// An Ethernet frame (IEEE 802.3).
    static func ethernet(_ source: MACAddress, to destination: MACAddress?, type: UInt16, _ payload: [UInt8]) -> [UInt8]
    {
        (destination?.bytes ?? []) + source.bytes + word(type) + payload
    }

    /// A UDP datagram (RFC 768, without its checksum) in an IPv4 packet (RFC 791).
    static func udp(
        _ source: String,
        to destination: String,
        ports: (from: UInt16, to: UInt16) = (40000, 9),
        _ text: String
    ) -> [UInt8] {
        let data = Array(text.utf8)
        let udp = word(ports.from) + word(ports.to) + word(UInt16(8 + data.count)) + [0, 0] + data
        var header: [UInt8] = [0x45, 0] + word(UInt16(20 + udp.count)) + [0, 1, 0, 0, 64, 17, 0, 0]
        header += (IPv4Address(source)?.bytes ?? []) + (IPv4Address(destination)?.bytes ?? [])
        var sum: UInt32 = 0
        for index in stride(from: 0, to: 20, by: 2) { sum += UInt32(header[index]) << 8 | UInt32(header[index + 1]) }
        while sum > 0xffff { sum = (sum & 0xffff) + sum >> 16 }
        header.replaceSubrange(10..<12, with: word(~UInt16(sum)))
        return header + udp
    }

    /// A request or a reply of ARP (RFC 826) to everybody.
    static func arp(_ operation: UInt16, sender: (MACAddress, String), target: String, _ text: String) -> [UInt8] {
        [0, 1, 8, 0, 6, 4] + word(operation) + sender.0.bytes + (IPv4Address(sender.1)?.bytes ?? [])
            + Array(repeating: 0, count: 6) + (IPv4Address(target)?.bytes ?? []) + Array(text.utf8)
    }

    static func word(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 0xff)] }
}

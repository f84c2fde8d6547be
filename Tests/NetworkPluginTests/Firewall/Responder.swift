import AgentCore
import AgentTestSupport
import Foundation
import Glibc
import Synchronization
import SystemPackage

@testable import NetworkPlugin

/// How an attempt to reach a server ended.
enum Answer: Equatable, CustomStringConvertible {
    /// The server answered, and saw this address.
    case peer(String)
    /// Somebody said no.
    case refused
    /// Nobody said anything.
    case silence

    var isRefusal: Bool { self == .refused || self == .silence }

    var description: String {
        switch self {
        case .peer(let address): "answered \(address)"
        case .refused: "refused"
        case .silence: "silence"
        }
    }
}

/// A server in a namespace that tells whoever asks which address it sees.
final class Responder: Sendable {
    private let socket: Int32
    private let transport: PublishedPort.Transport
    private let isStopped = Atomic<Bool>(false)
    private let peers = Mutex<[String]>([])
    private let ended = DispatchSemaphore(value: 0)

    private init(socket: Int32, transport: PublishedPort.Transport) {
        self.socket = socket
        self.transport = transport
    }

    /// Those that asked, in order.
    var seen: [String] { peers.withLock { $0 } }

    /// Who asked first; waits for a minute.
    func firstSeen() async throws -> String {
        let deadline = ContinuousClock.now + .seconds(60)
        while ContinuousClock.now < deadline {
            if let peer = seen.first { return peer }
            try await Task.sleep(for: .milliseconds(10))
        }
        throw ToolFailure(description: "nobody asked")
    }

    static func start(
        _ namespace: TestNamespace,
        _ transport: PublishedPort.Transport,
        _ port: UInt16,
        on host: String = "0.0.0.0"
    ) async throws -> Responder {
        let socket = try await HostNetwork(namespace: namespace.name).run {
            let socket = Glibc.socket(AF_INET, Sockets.type(transport), 0)
            guard socket >= 0 else { throw Errno(rawValue: errno) }
            Sockets.set(socket, SO_REUSEADDR, Int32(1))
            Sockets.set(socket, SO_RCVTIMEO, timeval(tv_sec: 0, tv_usec: 50_000))
            guard Sockets.withAddress(host, port, { bind(socket, $0, $1) }) == 0,
                transport == .udp || listen(socket, 16) == 0
            else { throw Errno(rawValue: errno) }
            return socket
        }
        let responder = Responder(socket: socket, transport: transport)
        Thread.detachNewThread { responder.serve() }
        return responder
    }

    /// Stops it and waits until it has.
    func stop() {
        isStopped.store(true, ordering: .sequentiallyConsistent)
        ended.wait()
        close(socket)
    }

    private func serve() {
        while !isStopped.load(ordering: .sequentiallyConsistent) {
            var address = sockaddr_in()
            var length = socklen_t(MemoryLayout<sockaddr_in>.size)
            var byte: UInt8 = 0
            let result = withUnsafeMutablePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    transport == .tcp ? Int(accept(socket, $0, &length)) : recvfrom(socket, &byte, 1, 0, $0, &length)
                }
            }
            guard result >= 0 else { continue }
            let peer = IPv4Address(value: UInt32(bigEndian: address.sin_addr.s_addr)).description
            peers.withLock { $0.append(peer) }
            if transport == .tcp {
                _ = peer.withCString { send(Int32(result), $0, strlen($0), Int32(MSG_NOSIGNAL)) }
                close(Int32(result))
            } else {
                withUnsafePointer(to: &address) { pointer in
                    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                        _ = peer.withCString { sendto(socket, $0, strlen($0), 0, address, length) }
                    }
                }
            }
        }
        ended.signal()
    }
}

/// Sockets as tests use them.
enum Sockets {
    static func type(_ transport: PublishedPort.Transport) -> Int32 {
        transport == .tcp ? Int32(SOCK_STREAM.rawValue) : Int32(SOCK_DGRAM.rawValue)
    }

    static func set<Value>(_ socket: Int32, _ option: Int32, _ value: Value) {
        withUnsafeBytes(of: value) { _ = setsockopt(socket, SOL_SOCKET, option, $0.baseAddress, socklen_t($0.count)) }
    }

    static func withAddress<Value>(
        _ host: String,
        _ port: UInt16,
        _ body: (UnsafePointer<sockaddr>, socklen_t) -> Value
    )
        -> Value
    {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = (IPv4Address(host)?.value ?? 0).bigEndian
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }
}

extension TestNamespace {
    /// Asks a ``Responder``.
    ///
    /// - Parameters:
    ///   - host: Its address.
    ///   - port: Its port.
    ///   - transport: How.
    ///   - source: The address and port to ask from.
    ///   - patience: In seconds. A short one is for silence that is expected, where a loaded machine can only lose the
    ///     test's strength.
    /// - Returns: What came of it.
    /// - Throws: `Errno` for what is no answer at all.
    func ask(
        _ host: String,
        _ port: UInt16,
        _ transport: PublishedPort.Transport = .tcp,
        from source: (address: String, port: UInt16)? = nil,
        patience: Int = 30
    ) async throws -> Answer {
        try await HostNetwork(namespace: name).run {
            let socket = Glibc.socket(AF_INET, Sockets.type(transport), 0)
            guard socket >= 0 else { throw Errno(rawValue: errno) }
            defer { close(socket) }
            Sockets.set(socket, SO_REUSEADDR, Int32(1))
            // Of connect(2), too (socket(7)).
            Sockets.set(socket, SO_SNDTIMEO, timeval(tv_sec: patience, tv_usec: 0))
            Sockets.set(socket, SO_RCVTIMEO, timeval(tv_sec: patience, tv_usec: 0))
            if let source {
                guard Sockets.withAddress(source.address, source.port, { bind(socket, $0, $1) }) == 0 else {
                    throw Errno(rawValue: errno)
                }
            }
            guard Sockets.withAddress(host, port, { Glibc.connect(socket, $0, $1) }) == 0 else {
                return try Self.failure()
            }
            if transport == .udp, send(socket, "?", 1, 0) < 0 { return try Self.failure() }
            var buffer = [UInt8](repeating: 0, count: 64)
            let count = recv(socket, &buffer, buffer.count, 0)
            return count > 0 ? .peer(String(decoding: buffer[..<count], as: UTF8.self)) : try Self.failure()
        }
    }

    private static func failure() throws -> Answer {
        switch errno {
        case ECONNREFUSED, EHOSTUNREACH, EPERM, EACCES: .refused
        case EAGAIN, EINPROGRESS, ETIMEDOUT: .silence
        default: throw Errno(rawValue: errno)
        }
    }
}

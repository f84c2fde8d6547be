import Foundation
import Glibc
import Synchronization
import SystemPackage

/// Carries connections to a port of the loopback: as an HTTP proxy does after `CONNECT`, or from the first byte on, and
/// cuts the first ones off.
final class TCPRelay: Sendable {
    let port: Int
    private let target: Int
    private let isProxy: Bool
    /// The `Proxy-Authorization` that it wants.
    private let authorization: String?
    /// What a connection may carry to the client before it is closed, the first connection first.
    private let cuts: Mutex<[Int]>
    private let socket: Int32
    private let seen = Mutex<[String]>([])

    /// The first lines that were sent to the proxy.
    var requests: [String] { seen.withLock { $0 } }

    init(to target: Int, isProxy: Bool = false, authorization: String? = nil, cuts: [Int] = []) throws {
        self.target = target
        self.isProxy = isProxy
        self.authorization = authorization
        self.cuts = Mutex(cuts)
        let listener = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        socket = listener
        port = try Self.withAddress(port: 0) { address, length in
            guard bind(listener, address, length.pointee) == 0, listen(listener, 64) == 0,
                getsockname(listener, address, length) == 0
            else { throw Errno(rawValue: errno) }
        }
    }

    /// Runs `body` while it works.
    func serving<T>(_ body: () async throws -> T) async throws -> T {
        Thread { [self] in
            while true {
                let client = accept(socket, nil, nil)
                guard client >= 0 else { return }
                Thread { [self] in carry(client) }.start()
            }
        }.start()
        defer {
            shutdown(socket, Int32(SHUT_RDWR))
            close(socket)
        }
        return try await body()
    }

    private func carry(_ client: Int32) {
        defer { close(client) }
        let cut = cuts.withLock { $0.isEmpty ? .max : $0.removeFirst() }
        if isProxy {
            guard let head = Self.head(client) else { return }
            let lines = head.components(separatedBy: "\r\n")
            seen.withLock { $0.append(lines[0]) }
            let isAllowed =
                authorization.map { wanted in
                    lines.contains { $0.lowercased().hasPrefix("proxy-authorization:") && $0.hasSuffix(wanted) }
                } ?? true
            let status = isAllowed ? "200 Connection established" : "407 Proxy Authentication Required"
            _ = Self.sendAll(Array("HTTP/1.1 \(status)\r\n\r\n".utf8)[...], to: client)
            guard isAllowed else { return }
        }
        let server = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard
            (try? Self.withAddress(
                port: target,
                { address, length in
                    guard connect(server, address, length.pointee) == 0 else { throw Errno(rawValue: errno) }
                }
            )) != nil
        else {
            close(server)
            return
        }
        let done = DispatchSemaphore(value: 0)
        Thread {
            Self.copy(from: client, to: server, limit: .max)
            done.signal()
        }.start()
        Self.copy(from: server, to: client, limit: cut)
        // Also ends the other direction, before the numbers of the sockets may be used again.
        shutdown(client, Int32(SHUT_RDWR))
        shutdown(server, Int32(SHUT_RDWR))
        done.wait()
        close(server)
    }

    /// Copies to the end, or as much as `limit`, and passes the end on.
    private static func copy(from source: Int32, to target: Int32, limit: Int) {
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        var left = limit
        while left > 0 {
            let count = recv(source, &buffer, min(buffer.count, left), 0)
            guard count > 0, sendAll(buffer[..<count], to: target) else { break }
            left -= count
        }
        shutdown(target, Int32(SHUT_WR))
    }

    private static func sendAll(_ bytes: ArraySlice<UInt8>, to socket: Int32) -> Bool {
        var rest = bytes
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }

    /// A request's head, byte for byte, so that nothing behind it is taken.
    private static func head(_ socket: Int32) -> String? {
        var bytes: [UInt8] = []
        var byte: UInt8 = 0
        while !bytes.suffix(4).elementsEqual([13, 10, 13, 10]) {
            guard bytes.count < 8192, recv(socket, &byte, 1, 0) == 1 else { return nil }
            bytes.append(byte)
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Gives `body` the loopback's address with a port, and returns the port that is in it afterwards.
    private static func withAddress(
        port: Int,
        _ body: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) throws -> Void
    ) throws -> Int {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        try withUnsafeMutablePointer(to: &address) { pointer in
            try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { try body($0, &length) }
        }
        return Int(UInt16(bigEndian: address.sin_port))
    }
}

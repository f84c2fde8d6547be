import AgentTestSupport
import Foundation
import Glibc

/// A program on the bus that writes its messages byte by byte, as no library lets one.
///
/// Blocks: to be used on a thread of its own, see ``with(_:_:)``.
final class RawCaller {
    private let descriptor: Int32
    private var serial: UInt32 = 0

    /// Runs `body` with one that has said hello to the bus at `address`.
    static func with<Value: Sendable>(
        _ address: String,
        _ body: @escaping @Sendable (RawCaller) throws -> Value
    ) async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            DispatchQueue(label: "test.raw-caller").async {
                continuation.resume(with: Result { try body(try RawCaller(address)) })
            }
        }
    }

    private init(_ address: String) throws {
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var limit = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var name = sockaddr_un()
        name.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &name.sun_path) { $0.copyBytes(from: address.dropFirst("unix:path=".count).utf8) }
        let connected = withUnsafePointer(to: &name) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard connected == 0 else { throw ToolFailure(description: "connect: \(String(cString: strerror(errno)))") }
        let user = String(getuid()).utf8.map { String($0, radix: 16) }.joined()
        write(Array("\0AUTH EXTERNAL \(user)\r\n".utf8))
        guard read(until: "OK ") else { throw ToolFailure(description: "the bus lets nobody in") }
        write(Array("BEGIN\r\n".utf8))
        call("Hello", of: "org.freedesktop.DBus", at: "/org/freedesktop/DBus", "org.freedesktop.DBus", "", [])
        guard read(until: "NameAcquired") else { throw ToolFailure(description: "the bus does not answer") }
    }

    deinit { close(descriptor) }

    /// Sends a call whose body is `body`, whatever its signature says.
    func call(
        _ member: String,
        of interface: String,
        at path: String,
        _ destination: String,
        _ signature: String,
        _ body: [UInt8]
    ) {
        serial += 1
        var fields: [UInt8] = []
        for (code, type, text) in [(1, "o", path), (2, "s", interface), (3, "s", member), (6, "s", destination)] {
            Self.pad(&fields, to: 8)
            fields += [UInt8(code), 1] + Array(type.utf8) + [0]
            Self.pad(&fields, to: 4)
            fields += Self.string(text)
        }
        if !signature.isEmpty {
            Self.pad(&fields, to: 8)
            fields += [8, 1, UInt8(ascii: "g"), 0, UInt8(signature.utf8.count)] + Array(signature.utf8) + [0]
        }
        var message = [UInt8(ascii: "l"), 1, 0, 1] + Self.number(UInt32(body.count)) + Self.number(serial)
        message += Self.number(UInt32(fields.count)) + fields
        Self.pad(&message, to: 8)
        write(message + body)
    }

    /// Reads until a text comes.
    ///
    /// - Returns: Whether it did, before the other side ended the connection.
    func read(until text: String) -> Bool {
        var received: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while Data(received).range(of: Data(text.utf8)) == nil {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            guard count > 0 else { return false }
            received += buffer[..<count]
        }
        return true
    }

    /// Whether the other side ends the connection.
    func isClosed() -> Bool {
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            if count == 0 { return true }
            if count < 0 { return errno == ECONNRESET }
        }
    }

    /// A string as it is sent.
    static func string(_ text: String) -> [UInt8] { number(UInt32(text.utf8.count)) + Array(text.utf8) + [0] }

    static func number(_ number: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: number >> ($0 * 8)) } }

    private static func pad(_ bytes: inout [UInt8], to alignment: Int) {
        while bytes.count % alignment != 0 { bytes.append(0) }
    }

    private func write(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes {
                send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }
}

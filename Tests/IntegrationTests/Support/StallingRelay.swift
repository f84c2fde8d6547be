import Foundation
import Glibc
import Synchronization

/// A relay to a server on the loopback that passes on so many bytes of its answers and no more until it is told to: a
/// registry that is slow for just as long as a test wants.
final class StallingRelay: Sendable {
    private struct State {
        var left: Int
        var isReleased = false
        var connections: [Int32] = []
    }

    let port: Int
    var host: String { "127.0.0.1:\(port)" }
    private let listener: Int32
    private let target: Int
    private let state: Mutex<State>
    /// Signalled when the state changes.
    private let change = NSCondition()

    /// - Parameters:
    ///   - target: The server's port.
    ///   - bytes: How much it passes on before it stalls.
    /// - Throws: If no port can be opened.
    init(to target: Int, stallingAfter bytes: Int) throws {
        self.target = target
        state = Mutex(State(left: bytes))
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = Self.address(0)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let descriptor = listener
        let result = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, length) == 0 && listen(descriptor, 16) == 0
                    ? getsockname(descriptor, $0, &length) : -1
            }
        }
        guard result == 0 else { throw POSIXError(.EADDRNOTAVAIL) }
        port = Int(UInt16(bigEndian: address.sin_port))
        Thread { [self] in accept() }.start()
    }

    /// Whether it has passed on all that it may.
    var isStalled: Bool { state.withLock { $0.left == 0 && !$0.isReleased } }

    /// From now on everything goes through.
    func release() {
        state.withLock { $0.isReleased = true }
        change.lock()
        change.broadcast()
        change.unlock()
    }

    /// Ends it and its connections.
    func stop() {
        release()
        shutdown(listener, Int32(SHUT_RDWR))
        let connections = state.withLock { $0.connections }
        for connection in connections { shutdown(connection, Int32(SHUT_RDWR)) }
    }

    private static func address(_ port: Int) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        address.sin_port = in_port_t(UInt16(port).bigEndian)
        return address
    }

    private func accept() {
        while true {
            let client = Glibc.accept(listener, nil, nil)
            guard client >= 0 else { break }
            let server = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            var address = Self.address(target)
            let connected = withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    connect(server, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
            guard connected == 0 else {
                close(client)
                close(server)
                continue
            }
            // Descriptors stay open until the test's process ends: closed ones could be another's by then.
            state.withLock { $0.connections += [client, server] }
            Thread { [self] in pass(from: client, to: server, isAnswer: false) }.start()
            Thread { [self] in pass(from: server, to: client, isAnswer: true) }.start()
        }
        close(listener)
    }

    private func pass(from: Int32, to: Int32, isAnswer: Bool) {
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = recv(from, &buffer, buffer.count, 0)
            guard count > 0 else { break }
            var sent = 0
            while sent < count {
                let allowed = isAnswer ? waitForLeave(upTo: count - sent) : count - sent
                let done = buffer.withUnsafeBytes {
                    send(to, $0.baseAddress?.advanced(by: sent), allowed, Int32(MSG_NOSIGNAL))
                }
                guard done > 0 else {
                    shutdown(from, Int32(SHUT_RDWR))
                    return
                }
                sent += done
            }
        }
        shutdown(to, Int32(SHUT_WR))
    }

    /// How many bytes of an answer may go through now; waits while that is none.
    private func waitForLeave(upTo count: Int) -> Int {
        change.lock()
        defer { change.unlock() }
        while true {
            let allowed = state.withLock { state -> Int in
                if state.isReleased { return count }
                let allowed = min(count, state.left)
                state.left -= allowed
                return allowed
            }
            if allowed > 0 { return allowed }
            change.wait()
        }
    }
}

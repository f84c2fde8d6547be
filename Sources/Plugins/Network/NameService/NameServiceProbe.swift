import AgentCore
import Glibc
import SystemPackage

/// Finds out whether the name server of a network answers, and not another's.
struct NameServiceProbe: Sendable {
    let address: IPv4Address
    let network: HostNetwork

    private static let port: UInt16 = 53
    /// Between two looks: what it costs is a few system calls.
    private static let pause = Duration.milliseconds(10)
    /// A query that met no listener was refused at once; one that is on its way in vain is sent again after this many looks.
    private static let looks = 20

    /// Has a TXT record in the name servers of this agent, and in no other.
    static let name = "_hypeman.\(BridgeConfiguration.domain)"

    /// A query for that record (RFC 1035, 4.1), without recursion.
    private static let query: [UInt8] = {
        let header: [UInt8] = [0x68, 0x79, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]
        let labels = name.split(separator: ".").flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) }
        let textInInternet: [UInt8] = [0, 16, 0, 1]
        return header + labels + [0] + textInInternet
    }()

    /// Whether a datagram is the reply to the query, with one answer and no error.
    private static func isAnswer(_ bytes: ArraySlice<UInt8>) -> Bool {
        bytes.count >= 12 && bytes.starts(with: query.prefix(2)) && bytes[2] & 0x80 != 0 && bytes[3] & 0x0f == 0
            && bytes[6] == 0 && bytes[7] == 1
    }

    /// Returns once the record was there.
    func waitForAnswer() async throws {
        let socket = try await connect()
        defer { close(socket) }
        while true {
            // Refused means that nobody listens yet.
            _ = Self.query.withUnsafeBytes { send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            for _ in 0..<Self.looks {
                try await Task.sleep(for: Self.pause)
                var answer = [UInt8](repeating: 0, count: 512)
                let count = recv(socket, &answer, answer.count, Int32(MSG_DONTWAIT))
                if count > 0, Self.isAnswer(answer[..<count]) { return }
                if count < 0, errno == ECONNREFUSED { break }
            }
        }
    }

    private func connect() async throws -> Int32 {
        try await network.run {
            let descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
            guard descriptor >= 0 else { throw Errno(rawValue: errno) }
            var name = sockaddr_in()
            name.sin_family = sa_family_t(AF_INET)
            name.sin_port = Self.port.bigEndian
            name.sin_addr.s_addr = address.value.bigEndian
            let result = withUnsafePointer(to: &name) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
            guard result == 0 else {
                let error = Errno(rawValue: errno)
                close(descriptor)
                throw error
            }
            return descriptor
        }
    }
}

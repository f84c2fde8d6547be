import AgentCore
import AgentTestSupport

@testable import NetworkPlugin

/// Frames as guests send them.
enum GuestFrame {
    /// A UDP datagram to the bridge's address (RFC 894, 791, 768), `length` bytes long with all headers.
    static func udp(from tap: TapDescription, to bridge: Link, port: UInt16 = 9, length: Int) -> [UInt8] {
        let gateway = LinkFixture.description
        var ip: [UInt8] = [0x45, 0] + word(length - 14) + [0, 0, 0x40, 0, 64, 17, 0, 0]
        ip += tap.address.bytes + gateway.address.bytes
        let sum = stride(from: 0, to: ip.count, by: 2).reduce(0) { $0 + (Int(ip[$1]) << 8 | Int(ip[$1 + 1])) }
        let folded = (sum & 0xffff) + sum >> 16
        ip.replaceSubrange(10..<12, with: word(~folded & 0xffff))
        let udp = word(40_000) + word(Int(port)) + word(length - 34) + [0, 0]
        let frame = (bridge.mac ?? gateway.mac).bytes + tap.mac.bytes + [8, 0] + ip + udp
        return frame + [UInt8](repeating: 0, count: length - frame.count)
    }

    private static func word(_ value: Int) -> [UInt8] { [UInt8(value >> 8 & 0xff), UInt8(value & 0xff)] }
}

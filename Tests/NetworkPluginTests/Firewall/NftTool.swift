import AgentCore
import AgentTestSupport

@testable import NetworkPlugin

/// Changes sets with the program nft, one process a time: what netlink is compared with.
struct NftTool: FrameSets {
    let network: HostNetwork

    func apply(_ changes: [FrameSetChange], table: String) async throws {
        let lines = changes.map { change in
            "\(change.isAddition ? "add" : "delete") element bridge \(table) \(change.set) "
                + "{ \(Self.text(of: change.key, in: change.set)) }\n"
        }
        try await Nft.load(lines.joined(), in: network)
    }

    private static func text(of key: [UInt8], in set: String) -> String {
        var rest = key[...]
        func take(_ count: Int) -> [UInt8] {
            defer { rest = rest.dropFirst(count) }
            return Array(rest.prefix(count))
        }
        let name = "\"\(String(decoding: take(16).prefix { $0 != 0 }, as: UTF8.self))\""
        func mac() -> String { MACAddress(bytes: Array(take(8).prefix(6)))?.description ?? "" }
        func address() -> String { take(4).map(String.init).joined(separator: ".") }
        return switch set {
        case "ports": name
        case "macs": "\(name) . \(mac())"
        case "addresses": "\(name) . \(mac()) . \(address())"
        default: "\(name) . \(mac()) . \(mac()) . \(address())"
        }
    }
}

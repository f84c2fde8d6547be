import AgentCore

/// An element of one of ``FrameRules``' sets.
struct FrameSetElement: Sendable, Hashable {
    enum Field: Sendable, Hashable {
        case device(String)
        case mac(MACAddress)
        case address(IPv4Address)

        fileprivate var bytes: [UInt8] {
            switch self {
            case .device(let name): Array(name.utf8) + Array(repeating: 0, count: max(0, 16 - name.utf8.count))
            case .mac(let mac): mac.bytes + [0, 0]
            case .address(let address): address.bytes
            }
        }

        /// As nft lists it.
        fileprivate var text: String {
            switch self {
            case .device(let name): name
            case .mac(let mac): mac.description
            case .address(let address): address.description
            }
        }
    }

    var set: String
    var fields: [Field]

    var key: [UInt8] { fields.flatMap(\.bytes) }

    /// As nft reads it.
    var expression: String {
        fields.map { field in
            if case .device(let name) = field { "\"\(name)\"" } else { field.text }
        }.joined(separator: " . ")
    }

    /// As nft lists it in JSON.
    var json: JSONValue {
        let values = fields.map { JSONValue.string($0.text) }
        return values.count == 1 ? values[0] : .object(["concat": .array(values)])
    }
}

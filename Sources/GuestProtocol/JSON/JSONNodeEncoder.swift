/// Encodes into a node of a JSON tree.
struct JSONNodeEncoder: Encoder {
    let node: JSONNode
    let codingPath: [any CodingKey]
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
        if case .object = node.content {} else { node.content = .object([]) }
        return KeyedEncodingContainer(JSONKeyedEncodingContainer<Key>(node: node, codingPath: codingPath))
    }

    func unkeyedContainer() -> any UnkeyedEncodingContainer {
        if case .array = node.content {} else { node.content = .array([]) }
        return JSONUnkeyedEncodingContainer(node: node, codingPath: codingPath)
    }

    func singleValueContainer() -> any SingleValueEncodingContainer {
        JSONSingleValueEncodingContainer(node: node, codingPath: codingPath)
    }
}

private struct JSONSingleValueEncodingContainer: SingleValueEncodingContainer {
    let node: JSONNode
    let codingPath: [any CodingKey]

    func encodeNil() { node.content = .null }
    func encode(_ value: Bool) { node.content = .bool(value) }
    func encode(_ value: String) { node.content = .string(value) }
    func encode(_ value: Double) throws { try encode(floatingPoint: value) }
    func encode(_ value: Float) throws { try encode(floatingPoint: value) }
    func encode(_ value: Int) { node.content = .number(String(value)) }
    func encode(_ value: Int8) { node.content = .number(String(value)) }
    func encode(_ value: Int16) { node.content = .number(String(value)) }
    func encode(_ value: Int32) { node.content = .number(String(value)) }
    func encode(_ value: Int64) { node.content = .number(String(value)) }
    func encode(_ value: UInt) { node.content = .number(String(value)) }
    func encode(_ value: UInt8) { node.content = .number(String(value)) }
    func encode(_ value: UInt16) { node.content = .number(String(value)) }
    func encode(_ value: UInt32) { node.content = .number(String(value)) }
    func encode(_ value: UInt64) { node.content = .number(String(value)) }
    func encode<Value: Encodable>(_ value: Value) throws {
        try value.encode(to: JSONNodeEncoder(node: node, codingPath: codingPath))
    }

    private func encode<Value: BinaryFloatingPoint & CustomStringConvertible & Encodable>(floatingPoint value: Value)
        throws
    {
        guard value.isFinite else {
            throw EncodingError.invalidValue(
                value,
                EncodingError.Context(codingPath: codingPath, debugDescription: "JSON has no such number")
            )
        }
        node.content = .number(value.description)
    }
}

private struct JSONUnkeyedEncodingContainer: UnkeyedEncodingContainer {
    let node: JSONNode
    let codingPath: [any CodingKey]
    var count: Int { node.elementCount }

    func encodeNil() { _ = node.appendElement() }
    func encode<Value: Encodable>(_ value: Value) throws { try value.encode(to: superEncoder()) }
    func nestedContainer<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
        JSONNodeEncoder(node: node.appendElement(), codingPath: codingPath).container(keyedBy: type)
    }
    func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer {
        JSONNodeEncoder(node: node.appendElement(), codingPath: codingPath).unkeyedContainer()
    }
    func superEncoder() -> any Encoder { JSONNodeEncoder(node: node.appendElement(), codingPath: codingPath) }
}

private struct JSONKeyedEncodingContainer<Key: CodingKey>: KeyedEncodingContainerProtocol {
    let node: JSONNode
    let codingPath: [any CodingKey]

    private func field(_ key: some CodingKey) -> JSONNodeEncoder {
        JSONNodeEncoder(node: node.appendField(key.stringValue), codingPath: codingPath + [key])
    }

    func encodeNil(forKey key: Key) { _ = field(key) }
    func encode<Value: Encodable>(_ value: Value, forKey key: Key) throws { try value.encode(to: field(key)) }
    func nestedContainer<Nested: CodingKey>(
        keyedBy type: Nested.Type,
        forKey key: Key
    ) -> KeyedEncodingContainer<Nested> { field(key).container(keyedBy: type) }
    func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer { field(key).unkeyedContainer() }
    func superEncoder() -> any Encoder {
        JSONNodeEncoder(node: node.appendField("super"), codingPath: codingPath)
    }
    func superEncoder(forKey key: Key) -> any Encoder { field(key) }
}

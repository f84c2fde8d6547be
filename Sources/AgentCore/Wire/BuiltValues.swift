/// The values that a graph has made so far, by key.
struct BuiltValues: ~Copyable, Sendable {
    private var values: [ProviderKey: any Sendable] = [:]

    /// The value of a key that was made before.
    ///
    /// The graph is checked as a whole before anything is made, and makes dependencies before dependents, so a value
    /// that is absent or of another type is a fault in ``Graph`` itself.
    func value<Value: Sendable>(_ type: Value.Type) -> Value {
        guard let value = values[ProviderKey(type)] as? Value else {
            preconditionFailure("graph built \(type) out of order")
        }
        return value
    }

    mutating func insert(_ value: any Sendable, for key: ProviderKey) { values[key] = value }
}

import DBus
import Synchronization

/// The values that an object shows, made when what it is about changes: reads, of which there are many more, take them as
/// they are.
final class Shown: Sendable {
    private let values: Mutex<[Value]>

    fileprivate init(_ values: [Value]) { self.values = Mutex(values) }

    fileprivate subscript(index: Int) -> Value { values.withLock { $0[index] } }

    /// Shows others; returns those before.
    fileprivate func replace(_ new: [Value]) -> [Value] {
        values.withLock { values in
            defer { values = new }
            return values
        }
    }
}

/// The properties of a kind of object, each a function of what it shows.
struct PropertyTable<Subject: Sendable>: Sendable {
    private struct Column: Sendable {
        let name: String
        let signature: String
        let emission: Interface.Emission
        let value: @Sendable (Subject) -> Value
    }

    private var columns: [Column] = []

    /// One with the properties that `fill` adds.
    init(_ fill: (inout PropertyTable) -> Void) { fill(&self) }

    /// Adds a property.
    mutating func add<Content: DBusRepresentable>(
        _ name: String,
        _ emission: Interface.Emission = .value,
        _ get: @escaping @Sendable (Subject) -> Content
    ) {
        columns.append(
            Column(name: name, signature: Content.dbusSignature, emission: emission, value: { get($0).dbusValue })
        )
    }

    /// What an object about a subject shows.
    func shown(_ subject: Subject) -> Shown { Shown(values(of: subject)) }

    /// Shows a subject as it is now.
    ///
    /// - Returns: The properties that differ.
    func show(_ subject: Subject, on shown: Shown) -> [String] {
        let new = values(of: subject)
        let old = shown.replace(new)
        return columns.indices.filter { columns[$0].emission != .constant && old[$0] != new[$0] }.map {
            columns[$0].name
        }
    }

    /// The properties of an object.
    func members(of shown: Shown) -> [Interface.Member] {
        columns.enumerated().map { index, column in
            .property(column.name, signature: column.signature, column.emission) { shown[index] }
        }
    }

    /// Some of the values, for a list.
    func values(_ names: Set<String>, of subject: Subject) -> [String: Variant] {
        Dictionary(
            uniqueKeysWithValues: columns.filter { names.contains($0.name) }.map {
                ($0.name, Variant($0.value(subject)))
            }
        )
    }

    private func values(of subject: Subject) -> [Value] { columns.map { $0.value(subject) } }
}

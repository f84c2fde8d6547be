import DBus
import Synchronization

/// What an object shows, as it is now.
final class Shown<Subject: Sendable>: Sendable {
    private let subject: Mutex<Subject>

    init(_ subject: Subject) { self.subject = Mutex(subject) }

    var now: Subject { subject.withLock { $0 } }

    /// Shows something else.
    ///
    /// - Returns: What was shown before.
    func show(_ new: Subject) -> Subject {
        subject.withLock { subject in
            defer { subject = new }
            return subject
        }
    }
}

/// The properties of a kind of object, each a function of what it shows.
struct PropertyTable<Subject: Sendable>: Sendable {
    private struct Column: Sendable {
        let name: String
        let emission: Interface.Emission
        let value: @Sendable (Subject) -> Value
        let member: @Sendable (Shown<Subject>) -> Interface.Member
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
            Column(
                name: name,
                emission: emission,
                value: { get($0).dbusValue },
                member: { shown in .property(name, emission, get: { get(shown.now) }) }
            )
        )
    }

    func members(of shown: Shown<Subject>) -> [Interface.Member] { columns.map { $0.member(shown) } }

    /// The properties that differ.
    func changes(from old: Subject, to new: Subject) -> [String] {
        columns.filter { $0.emission != .constant && $0.value(old) != $0.value(new) }.map(\.name)
    }

    /// Some of the values, for a list.
    func values(_ names: Set<String>, of subject: Subject) -> [String: Variant] {
        Dictionary(
            uniqueKeysWithValues: columns.filter { names.contains($0.name) }.map {
                ($0.name, Variant($0.value(subject)))
            }
        )
    }
}

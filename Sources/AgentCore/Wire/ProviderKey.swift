/// Identifies one value in a ``Graph`` by its Swift type.
///
/// Two values of one type need two types: wrap one of them in a struct of its own
/// (`struct StateDirectory { var path: FilePath }`), as google/wire recommends.
public struct ProviderKey: Hashable, Sendable, CustomStringConvertible {
    private let id: ObjectIdentifier
    /// The type's full name.
    public let description: String

    /// The key of `type`.
    public init<Value>(_ type: Value.Type) {
        self.id = ObjectIdentifier(type)
        self.description = String(reflecting: type)
    }

    public static func == (lhs: ProviderKey, rhs: ProviderKey) -> Bool { lhs.id == rhs.id }
    public func hash(into hasher: inout Hasher) { hasher.combine(id) }
}

/// Where a provider was written, for diagnostics.
public struct SourceLocation: Sendable, Hashable, CustomStringConvertible {
    /// The file as `#fileID` gives it: module and file name.
    public var file: String
    /// The line, from 1.
    public var line: Int

    public var description: String { "\(file):\(line)" }
}

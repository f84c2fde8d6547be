/// How to make one value, and what it needs first.
///
/// Providers are made with ``provide(_:cleanup:file:line:)``, ``bind(_:file:line:_:)``, ``value(_:file:line:)`` and
/// ``contribute(to:file:line:_:)``.
public struct Provider: Sendable {
    enum Role: Sendable {
        /// The only maker of its key.
        case single
        /// One of any number of elements of an array key; `join` makes the array of the elements made.
        case element(join: @Sendable ([any Sendable]) -> any Sendable)
    }

    struct Made: Sendable {
        var value: any Sendable
        var cleanup: (@Sendable () async throws -> Void)?
    }

    /// What the provider makes.
    public let key: ProviderKey
    /// What it must be given, in the order of its parameters.
    public let dependencies: [ProviderKey]
    /// Where it was written.
    public let location: SourceLocation
    /// The names of the sets it came in, innermost first.
    public internal(set) var origin: [String] = []
    let role: Role
    let make: @Sendable (borrowing BuiltValues) async throws -> Made
}

/// Declares that `make` produces a `Value`; its parameters are the value's dependencies.
///
/// - Parameters:
///   - make: An initializer or function. Its parameter types are looked up in the graph. A parameter with a default
///     value is a dependency like any other: wrap the call in a closure to leave it out. Function-typed, tuple and
///     variadic parameters crash the Swift 6.3 compiler; wrap them in a struct.
///   - cleanup: Runs when the graph is torn down, after everything that used the value was.
///   - file: Where the provider is written; leave it out.
///   - line: Where the provider is written; leave it out.
/// - Returns: A provider for ``ProviderSet``.
public func provide<Value: Sendable, each Dependency: Sendable>(
    _ make: @escaping @Sendable (repeat each Dependency) async throws -> Value,
    cleanup: (@Sendable (Value) async throws -> Void)? = nil,
    file: String = #fileID,
    line: Int = #line
) -> Provider {
    let run: @Sendable (borrowing BuiltValues) async throws -> Provider.Made = { values in
        let value = try await make(repeat values.value((each Dependency).self))
        guard let cleanup else { return Provider.Made(value: value) }
        return Provider.Made(value: value, cleanup: { try await cleanup(value) })
    }
    return Provider(
        key: ProviderKey(Value.self),
        dependencies: keys(repeat (each Dependency).self),
        location: SourceLocation(file: file, line: line),
        role: .single,
        make: run
    )
}

/// Declares that a dependency on `Interface` is satisfied by the graph's `Concrete`.
///
/// The closure is the upcast, so the compiler checks the conformance:
/// `bind((any HypervisorDriver).self) { (it: QEMUDriver) in it }`.
public func bind<Interface: Sendable, Concrete: Sendable>(
    _ interface: Interface.Type,
    file: String = #fileID,
    line: Int = #line,
    _ upcast: @escaping @Sendable (Concrete) -> Interface
) -> Provider {
    provide({ (concrete: Concrete) in upcast(concrete) }, file: file, line: line)
}

/// Declares a ready-made value.
public func value<Value: Sendable>(_ value: Value, file: String = #fileID, line: Int = #line) -> Provider {
    provide({ () in value }, file: file, line: line)
}

/// Declares one element of `[Element]`; any number of provider sets can each contribute some.
///
/// Elements keep the order of declaration.
public func contribute<Element: Sendable, each Dependency: Sendable>(
    to _: [Element].Type,
    file: String = #fileID,
    line: Int = #line,
    _ make: @escaping @Sendable (repeat each Dependency) async throws -> Element
) -> Provider {
    // Typed on its own: inside the call below the compiler gives up without a diagnosis.
    let run: @Sendable (borrowing BuiltValues) async throws -> Provider.Made = { values in
        Provider.Made(value: Box(value: try await make(repeat values.value((each Dependency).self))))
    }
    return Provider(
        key: ProviderKey([Element].self),
        dependencies: keys(repeat (each Dependency).self),
        location: SourceLocation(file: file, line: line),
        role: .element(join: { elements in elements.compactMap { ($0 as? Box<Element>)?.value } }),
        make: run
    )
}

/// Keeps an existential's static type: `any P` put in `any Sendable` would be opened.
struct Box<Value: Sendable>: Sendable {
    let value: Value
}

private func keys<each T>(_ types: repeat (each T).Type) -> [ProviderKey] {
    var keys: [ProviderKey] = []
    for type in repeat each types {
        keys.append(ProviderKey(type))
    }
    return keys
}

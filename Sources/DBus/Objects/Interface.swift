/// What an exported object offers under one interface name.
public struct Interface: Sendable {
    public let name: String
    public let members: [Member]

    let methods: [String: Method]
    let properties: [Property]

    /// - Parameters:
    ///   - name: As `io.example.Thing1`.
    ///   - members: Its methods, properties and signals, in the order of its introspection data.
    public init(_ name: String, _ members: [Member]) {
        self.name = name
        self.members = members
        var methods: [String: Method] = [:]
        var properties: [Property] = []
        for member in members {
            switch member {
            case .method(let method): methods[method.name] = method
            case .property(let property): properties.append(property)
            case .signal: break
            }
        }
        self.methods = methods
        self.properties = properties
    }

    public enum Member: Sendable {
        case method(Method)
        case property(Property)
        case signal(Signal)
    }

    /// A method's argument, or a signal's.
    public struct Argument: Sendable, Hashable {
        public var name: String
        public var signature: String

        public init(_ name: String, _ signature: String) {
            self.name = name
            self.signature = signature
        }
    }

    public struct Method: Sendable {
        public let name: String
        public let inputs: [Argument]
        public let outputs: [Argument]
        let call: @Sendable (Call) async throws -> [Value]

        /// What a message must contain.
        var inputSignature: String { inputs.map(\.signature).joined() }
    }

    public struct Property: Sendable {
        public let name: String
        public let signature: String
        public let emission: Emission
        /// From memory, at once: reads never wait.
        let get: @Sendable () -> Value
        let set: (@Sendable (Call, Value) async throws -> Void)?
    }

    /// What becomes known of a property's changes.
    public enum Emission: String, Sendable {
        /// `PropertiesChanged` has the new value.
        case value = "true"
        /// `PropertiesChanged` has its name alone.
        case invalidation = "invalidates"
        /// It does not change while the object is there.
        case constant = "const"
        /// Nothing.
        case none = "false"
    }

    public struct Signal: Sendable {
        public let name: String
        public let arguments: [Argument]
    }

    /// The current values of all its properties.
    func values() -> Value { .properties(properties.map { ($0.name, $0.get()) }) }
}

extension Interface.Member {
    /// A method without a result, whose D-Bus signature follows from the parameters of `body`.
    ///
    /// - Parameters:
    ///   - name: The member's name.
    ///   - inputs: Names of the arguments, for introspection.
    ///   - body: Is called in a task of its own, with the call itself first.
    /// - Returns: The member.
    public static func method<each Input: DBusRepresentable>(
        _ name: String,
        _ inputs: [String] = [],
        _ body: @escaping @Sendable (Call, repeat each Input) async throws -> Void
    ) -> Self {
        method(name, inputs, signatures(of: repeat (each Input).self), [], []) { call in
            var reader = ArgumentReader(call.arguments)
            try await body(call, repeat reader.next((each Input).self))
            return []
        }
    }

    /// A method with one result.
    ///
    /// - Parameters:
    ///   - name: The member's name.
    ///   - inputs: Names of the arguments, for introspection.
    ///   - outputs: Name of the result.
    ///   - body: Is called in a task of its own, with the call itself first.
    /// - Returns: The member.
    public static func method<each Input: DBusRepresentable, Output: DBusRepresentable>(
        _ name: String,
        _ inputs: [String] = [],
        returns outputs: [String],
        _ body: @escaping @Sendable (Call, repeat each Input) async throws -> Output
    ) -> Self {
        method(name, inputs, signatures(of: repeat (each Input).self), outputs, [Output.dbusSignature]) { call in
            var reader = ArgumentReader(call.arguments)
            return [try await body(call, repeat reader.next((each Input).self)).dbusValue]
        }
    }

    /// A method with two results.
    ///
    /// - Parameters:
    ///   - name: The member's name.
    ///   - inputs: Names of the arguments, for introspection.
    ///   - outputs: Names of the results.
    ///   - body: Is called in a task of its own, with the call itself first.
    /// - Returns: The member.
    public static func method<each Input: DBusRepresentable, First: DBusRepresentable, Second: DBusRepresentable>(
        _ name: String,
        _ inputs: [String] = [],
        returns outputs: [String],
        _ body: @escaping @Sendable (Call, repeat each Input) async throws -> (First, Second)
    ) -> Self {
        let results = [First.dbusSignature, Second.dbusSignature]
        return method(name, inputs, signatures(of: repeat (each Input).self), outputs, results) { call in
            var reader = ArgumentReader(call.arguments)
            let result = try await body(call, repeat reader.next((each Input).self))
            return [result.0.dbusValue, result.1.dbusValue]
        }
    }

    /// A method with three results.
    ///
    /// - Parameters:
    ///   - name: The member's name.
    ///   - inputs: Names of the arguments, for introspection.
    ///   - outputs: Names of the results.
    ///   - body: Is called in a task of its own, with the call itself first.
    /// - Returns: The member.
    public static func method<
        each Input: DBusRepresentable,
        First: DBusRepresentable,
        Second: DBusRepresentable,
        Third: DBusRepresentable
    >(
        _ name: String,
        _ inputs: [String] = [],
        returns outputs: [String],
        _ body: @escaping @Sendable (Call, repeat each Input) async throws -> (First, Second, Third)
    ) -> Self {
        let results = [First.dbusSignature, Second.dbusSignature, Third.dbusSignature]
        return method(name, inputs, signatures(of: repeat (each Input).self), outputs, results) { call in
            var reader = ArgumentReader(call.arguments)
            let result = try await body(call, repeat reader.next((each Input).self))
            return [result.0.dbusValue, result.1.dbusValue, result.2.dbusValue]
        }
    }

    /// A method with four results.
    ///
    /// - Parameters:
    ///   - name: The member's name.
    ///   - inputs: Names of the arguments, for introspection.
    ///   - outputs: Names of the results.
    ///   - body: Is called in a task of its own, with the call itself first.
    /// - Returns: The member.
    public static func method<
        each Input: DBusRepresentable,
        First: DBusRepresentable,
        Second: DBusRepresentable,
        Third: DBusRepresentable,
        Fourth: DBusRepresentable
    >(
        _ name: String,
        _ inputs: [String] = [],
        returns outputs: [String],
        _ body: @escaping @Sendable (Call, repeat each Input) async throws -> (First, Second, Third, Fourth)
    ) -> Self {
        let results = [First.dbusSignature, Second.dbusSignature, Third.dbusSignature, Fourth.dbusSignature]
        return method(name, inputs, signatures(of: repeat (each Input).self), outputs, results) { call in
            var reader = ArgumentReader(call.arguments)
            let result = try await body(call, repeat reader.next((each Input).self))
            return [result.0.dbusValue, result.1.dbusValue, result.2.dbusValue, result.3.dbusValue]
        }
    }

    private static func method(
        _ name: String,
        _ inputs: [String],
        _ inputSignatures: [String],
        _ outputs: [String],
        _ outputSignatures: [String],
        _ call: @escaping @Sendable (Call) async throws -> [Value]
    ) -> Self {
        .method(
            Interface.Method(
                name: name,
                inputs: named(inputs, inputSignatures),
                outputs: named(outputs, outputSignatures),
                call: call
            )
        )
    }

    /// A property.
    ///
    /// - Parameters:
    ///   - name: The member's name.
    ///   - emission: What is told of its changes.
    ///   - get: Its present value, from memory.
    ///   - set: Changes it; nil makes it read-only.
    /// - Returns: The member.
    public static func property<Content: DBusRepresentable>(
        _ name: String,
        _ emission: Interface.Emission = .value,
        get: @escaping @Sendable () -> Content,
        set: (@Sendable (Call, Content) async throws -> Void)? = nil
    ) -> Self {
        .property(
            Interface.Property(
                name: name,
                signature: Content.dbusSignature,
                emission: emission,
                get: { get().dbusValue },
                set: set.map { set in
                    { @Sendable call, value in
                        guard value.signature == Content.dbusSignature, let content = Content(value) else {
                            throw DBusError.standard(
                                .invalidArguments,
                                "property \(name) is of type '\(Content.dbusSignature)', not '\(value.signature)'"
                            )
                        }
                        try await set(call, content)
                    }
                }
            )
        )
    }

    /// A read-only property whose values are made elsewhere.
    ///
    /// - Parameters:
    ///   - name: The member's name.
    ///   - signature: The type of all its values.
    ///   - emission: What is told of its changes.
    ///   - value: Its present value, from memory.
    /// - Returns: The member.
    public static func property(
        _ name: String,
        signature: String,
        _ emission: Interface.Emission,
        value: @escaping @Sendable () -> Value
    ) -> Self {
        .property(Interface.Property(name: name, signature: signature, emission: emission, get: value, set: nil))
    }

    /// A signal, for introspection; ``Connection/emit(_:of:at:_:)`` sends it.
    ///
    /// - Parameters:
    ///   - name: The member's name.
    ///   - arguments: Names of its arguments.
    ///   - types: Their types.
    /// - Returns: The member.
    public static func signal<each Content: DBusRepresentable>(
        _ name: String,
        _ arguments: [String],
        _ types: repeat (each Content).Type
    ) -> Self {
        .signal(Interface.Signal(name: name, arguments: named(arguments, signatures(of: repeat each types))))
    }

    private static func named(_ names: [String], _ signatures: [String]) -> [Interface.Argument] {
        precondition(names.count == signatures.count, "\(names) are not the names of \(signatures)")
        return zip(names, signatures).map { Interface.Argument($0, $1) }
    }
}

private func signatures<each T: DBusRepresentable>(of types: repeat (each T).Type) -> [String] {
    var signatures: [String] = []
    for type in repeat each types { signatures.append(type.dbusSignature) }
    return signatures
}

/// Takes the arguments of a call whose signature was checked.
private struct ArgumentReader {
    private var rest: ArraySlice<Value>

    init(_ values: [Value]) { rest = values[...] }

    mutating func next<T: DBusRepresentable>(_ type: T.Type) throws -> T {
        guard let value = rest.popFirst(), let result = T(value) else {
            throw DBusError.standard(
                .invalidArguments,
                "an argument of type '\(T.dbusSignature)' has a value that cannot be: as a key that is there twice"
            )
        }
        return result
    }
}

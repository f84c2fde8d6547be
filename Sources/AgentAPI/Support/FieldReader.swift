/// Reads the fields of a JSON object, and refuses those that nobody asked for.
///
/// A null is the same as an absent field. Call ``finish()`` when all fields were read.
public struct FieldReader {
    private let fields: [String: JSONValue]
    private let path: String
    private var known: Set<String> = []

    /// Reads `value`, whose own path in the request is `path`.
    public init(_ value: JSONValue, path: String = "") throws(FieldError) {
        guard case .object(let fields) = value else {
            let subject = path.isEmpty ? "the body" : "field '\(path)'"
            throw FieldError(.malformed, field: path, "\(subject) must be a JSON object, not \(value.kind)")
        }
        self.fields = fields
        self.path = path
    }

    /// The field's value, nil where it is absent or null.
    public mutating func value(_ name: String) -> JSONValue? {
        known.insert(name)
        guard let value = fields[name], value != .null else { return nil }
        return value
    }

    public mutating func string(_ name: String) throws(FieldError) -> String? {
        guard let value = value(name) else { return nil }
        guard case .string(let text) = value else { throw invalid(name, "a string", value) }
        guard !text.utf8.contains(0) else {
            throw FieldError(.invalid, field: full(name), "field '\(full(name))' must not contain a NUL character")
        }
        return text
    }

    public mutating func requiredString(_ name: String) throws(FieldError) -> String {
        guard let text = try string(name) else {
            throw FieldError(.missing, field: full(name), "field '\(full(name))' is missing; it is required")
        }
        return text
    }

    public mutating func integer(_ name: String) throws(FieldError) -> Int? {
        guard let value = value(name) else { return nil }
        guard case .integer(let number) = value else { throw invalid(name, "a whole number", value) }
        return number
    }

    public mutating func requiredInteger(_ name: String) throws(FieldError) -> Int {
        guard let number = try integer(name) else {
            throw FieldError(.missing, field: full(name), "field '\(full(name))' is missing; it is required")
        }
        return number
    }

    public mutating func boolean(_ name: String) throws(FieldError) -> Bool? {
        guard let value = value(name) else { return nil }
        guard case .boolean(let flag) = value else { throw invalid(name, "true or false", value) }
        return flag
    }

    public mutating func strings(_ name: String) throws(FieldError) -> [String]? {
        guard let value = value(name) else { return nil }
        guard case .array(let elements) = value else { throw invalid(name, "an array of strings", value) }
        var texts: [String] = []
        for element in elements {
            guard case .string(let text) = element, !text.utf8.contains(0) else {
                throw invalid(name, "an array of strings without NUL characters", value)
            }
            texts.append(text)
        }
        return texts
    }

    public mutating func dictionary(_ name: String) throws(FieldError) -> [String: String]? {
        guard let value = value(name) else { return nil }
        guard case .object(let members) = value else { throw invalid(name, "an object of strings", value) }
        var texts: [String: String] = [:]
        for (key, member) in members {
            guard case .string(let text) = member, !text.utf8.contains(0), !key.utf8.contains(0) else {
                throw invalid(name, "an object whose values are strings without NUL characters", member)
            }
            texts[key] = text
        }
        return texts
    }

    /// A reader for a nested object.
    public mutating func object(_ name: String) throws(FieldError) -> FieldReader? {
        guard let value = value(name) else { return nil }
        return try FieldReader(value, path: full(name))
    }

    /// Readers for the objects of an array.
    public mutating func objects(_ name: String) throws(FieldError) -> [FieldReader]? {
        guard let value = value(name) else { return nil }
        guard case .array(let elements) = value else { throw invalid(name, "an array of objects", value) }
        var readers: [FieldReader] = []
        for (index, element) in elements.enumerated() {
            readers.append(try FieldReader(element, path: "\(full(name))[\(index)]"))
        }
        return readers
    }

    /// A field of the API that this agent does not act on: accepted where it asks for nothing.
    ///
    /// - Parameters:
    ///   - name: The field.
    ///   - isNeutral: Whether a value asks for nothing.
    /// - Throws: ``FieldError`` `notImplemented` for any other.
    public mutating func notImplemented(
        _ name: String,
        unless isNeutral: (JSONValue) -> Bool = { $0.isNeutral }
    ) throws(FieldError) {
        guard let value = value(name), !isNeutral(value) else { return }
        throw FieldError(
            .notImplemented,
            field: full(name),
            "field '\(full(name))' is not implemented by this agent; leave it out"
        )
    }

    /// Refuses the fields that were not read.
    public func finish() throws(FieldError) {
        guard let unknown = fields.keys.filter({ !known.contains($0) }).min() else { return }
        throw FieldError(
            .unknown,
            field: full(unknown),
            "field '\(full(String(unknown.prefix(100))))' is not known; known here: \(known.sorted().joined(separator: ", "))"
        )
    }

    private func full(_ name: String) -> String { path.isEmpty ? name : "\(path).\(name)" }

    private func invalid(_ name: String, _ expected: String, _ value: JSONValue) -> FieldError {
        FieldError(.invalid, field: full(name), "field '\(full(name))' must be \(expected), not \(value.kind)")
    }
}

/// What is wrong with one field of a request.
public struct FieldError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The kinds of faults.
    public enum Kind: Sendable, Hashable {
        /// Not JSON, or not an object.
        case malformed
        /// Nobody knows this field.
        case unknown
        /// It must be there.
        case missing
        /// Another type or form than the field has.
        case invalid
        /// A field of the API that this agent does not act on; only its neutral value is accepted.
        case notImplemented
    }

    /// The kind of fault.
    public var kind: Kind
    /// The field's path, as `network.egress`; empty for the whole body.
    public var field: String
    /// For a person; names the field.
    public var message: String

    public init(_ kind: Kind, field: String, _ message: String) {
        self.kind = kind
        self.field = field
        self.message = message
    }

    public var description: String { message }
}

/// The body of `POST /instances/{id}/fork` and of `POST /snapshots/{id}/fork`.
///
/// `ports` is this agent's own.
public struct ForkInstanceBody: Encodable, Sendable, Hashable {
    /// Of the new instance.
    public var name: String
    /// Whether a source that runs may be made to stand still; of instances only.
    public var fromRunning: Bool?
    /// `Stopped`, `Standby` or `Running`; what the source is without.
    public var targetState: String?
    /// Those of the source are not copied.
    public var ports: [PortMapping]?

    enum CodingKeys: String, CodingKey {
        case name, ports
        case fromRunning = "from_running"
        case targetState = "target_state"
    }

    public init(
        name: String,
        fromRunning: Bool? = nil,
        targetState: String? = nil,
        ports: [PortMapping]? = nil
    ) {
        self.name = name
        self.fromRunning = fromRunning
        self.targetState = targetState
        self.ports = ports
    }

    /// Reads a request to fork an instance.
    public init(_ reader: FieldReader) throws(FieldError) {
        var reader = reader
        try self.init(&reader)
        fromRunning = try reader.boolean("from_running")
        try reader.finish()
    }

    /// Reads a request to fork a snapshot.
    public init(ofSnapshot reader: FieldReader) throws(FieldError) {
        var reader = reader
        try self.init(&reader)
        try reader.notImplemented("target_hypervisor")
        try reader.finish()
    }

    private init(_ reader: inout FieldReader) throws(FieldError) {
        name = try reader.requiredString("name")
        targetState = try reader.string("target_state")
        ports = try reader.objects("ports")?.map { reader throws(FieldError) in try PortMapping(reader) }
    }
}

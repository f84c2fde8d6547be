/// The body of `POST /images/prune`.
public struct PruneImagesBody: Encodable, Sendable, Hashable {
    /// Also ready images that no instance was made from.
    public var all: Bool
    public var dryRun: Bool
    /// `until=`, `label=` and `label!=`, as Docker writes them.
    public var filters: [String]

    enum CodingKeys: String, CodingKey {
        case all, filters
        case dryRun = "dry_run"
    }

    public init(all: Bool = false, dryRun: Bool = false, filters: [String] = []) {
        self.all = all
        self.dryRun = dryRun
        self.filters = filters
    }

    /// Reads a request.
    public init(_ reader: FieldReader) throws(FieldError) {
        var reader = reader
        all = try reader.boolean("all") ?? false
        dryRun = try reader.boolean("dry_run") ?? false
        filters = try reader.strings("filters") ?? []
        try reader.finish()
    }
}

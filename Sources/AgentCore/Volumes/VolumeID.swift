/// A volume's identity: 1 to 63 lower-case letters, digits and inner hyphens.
///
/// It becomes a file's name, and a client may choose it: nothing else than that form ever exists as a value.
public struct VolumeID: Hashable, Sendable, Codable, RawRepresentable, CustomStringConvertible {
    public let rawValue: String

    /// nil if it hasn't an id's form.
    public init?(rawValue: String) {
        let bytes = rawValue.utf8
        let isAllowed = bytes.allSatisfy { (97...122).contains($0) || (48...57).contains($0) || $0 == 45 }
        guard isAllowed, (1...63).contains(bytes.count), bytes.first != 45, bytes.last != 45 else { return nil }
        self.rawValue = rawValue
    }

    /// Checks what a client has chosen.
    ///
    /// - Throws: ``AgentError`` `invalid_id`.
    public init(_ text: String) throws(AgentError) {
        guard let id = VolumeID(rawValue: text) else {
            throw AgentError(
                .invalidArgument,
                code: "invalid_id",
                "id '\(text.prefix(80))' is not valid: use 1 to 63 lower-case letters, digits and hyphens, with no hyphen "
                    + "at either end, or leave it out"
            )
        }
        self = id
    }

    private init(unchecked rawValue: String) { self.rawValue = rawValue }

    /// A new one, as an instance's: 24 characters.
    public static func random() -> VolumeID { VolumeID(unchecked: InstanceID.random().rawValue) }

    public init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let id = VolumeID(rawValue: text) else {
            throw DecodingError.dataCorrupted(
                .init(codingPath: decoder.codingPath, debugDescription: "not a volume's id")
            )
        }
        self = id
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(rawValue)
    }

    public var description: String { rawValue }
}

/// A volume's name for people, by Docker's rules: letters, digits, `_`, `.` and `-`, a letter or digit first; at most 128.
public struct VolumeName: Hashable, Sendable, Codable, CustomStringConvertible {
    public let rawValue: String

    /// Checks `text`.
    ///
    /// - Throws: ``AgentError`` `invalid_name`.
    public init(_ text: String) throws(AgentError) {
        func isWord(_ byte: UInt8) -> Bool {
            (97...122).contains(byte) || (65...90).contains(byte) || (48...57).contains(byte)
        }
        let bytes = text.utf8
        guard let first = bytes.first, isWord(first), bytes.count <= 128,
            bytes.allSatisfy({ isWord($0) || $0 == 95 || $0 == 46 || $0 == 45 })
        else {
            throw AgentError(
                .invalidArgument,
                code: "invalid_name",
                "volume name '\(text.prefix(80))' is not valid: use 1 to 128 letters, digits, '_', '.' and '-', a letter or "
                    + "digit first"
            )
        }
        self.rawValue = text
    }

    public var description: String { rawValue }
}

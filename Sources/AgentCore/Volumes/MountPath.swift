/// Where in a guest a volume is mounted: absolute, without `.`, `..` and doubled slashes, at most 1024 bytes.
public struct MountPath: Hashable, Sendable, Codable, CustomStringConvertible {
    /// What the guest's kernel and hypeman-init keep there would be hidden, or the volume in it.
    private static let reserved = ["/proc", "/sys", "/dev", "/run/systemd", "/run/hypeman"]
    /// Below these a volume is in nobody's way; in their place it hides what hypeman-init reads or makes.
    private static let reservedThemselves = ["/", "/etc", "/run"]
    private static let maximumLength = 1024
    private static let maximumNameLength = 255

    public let rawValue: String

    /// Checks and normalises `text`.
    ///
    /// - Throws: ``AgentError`` `invalid_mount_path`.
    public init(_ text: String) throws(AgentError) {
        func invalid(_ why: String) -> AgentError {
            AgentError(
                .invalidArgument,
                code: "invalid_mount_path",
                "mount path '\(text.prefix(200))' cannot be used: \(why)"
            )
        }
        guard text.hasPrefix("/") else { throw invalid("it must be absolute, as /data") }
        guard text.utf8.count <= Self.maximumLength else {
            throw invalid("it is longer than \(Self.maximumLength) bytes")
        }
        guard text.utf8.allSatisfy({ $0 >= 32 && $0 != 127 }) else { throw invalid("it has control characters") }
        let parts = text.split(separator: "/").filter { $0 != "." }
        guard !parts.contains("..") else { throw invalid("it must not contain '..'") }
        guard parts.allSatisfy({ $0.utf8.count <= Self.maximumNameLength }) else {
            throw invalid("a part of it is longer than \(Self.maximumNameLength) bytes")
        }
        rawValue = "/" + parts.joined(separator: "/")
        if Self.reservedThemselves.contains(rawValue) { throw invalid("the guest needs \(rawValue) itself") }
        for path in Self.reserved where rawValue == path || rawValue.hasPrefix(path + "/") {
            throw invalid("the guest needs \(path) itself")
        }
    }

    /// Whether `other` lies in here, or is the same.
    public func contains(_ other: MountPath) -> Bool {
        other.rawValue == rawValue || other.rawValue.hasPrefix(rawValue + "/")
    }

    public init(from decoder: any Decoder) throws {
        rawValue = try decoder.singleValueContainer().decode(String.self)
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(rawValue)
    }

    public var description: String { rawValue }
}

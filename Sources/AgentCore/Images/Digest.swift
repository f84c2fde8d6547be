/// A content digest as OCI writes it: `sha256:` and 64 lower-case hexadecimal digits.
///
/// SHA-256 is the only algorithm: the image specification requires it, and the registered alternative, sha512, is not
/// in use (OCI image-spec, descriptor.md).
public struct Digest: Hashable, Sendable, Codable, CustomStringConvertible {
    /// The hexadecimal part; safe as a file name.
    public let hex: String

    /// Checks `text`; nil if it has another form.
    public init?(_ text: some StringProtocol) {
        guard text.hasPrefix("sha256:") else { return nil }
        self.init(hex: text.dropFirst(7))
    }

    /// Checks the hexadecimal part alone.
    public init?(hex: some StringProtocol) {
        guard hex.utf8.count == 64, hex.utf8.allSatisfy({ (48...57).contains($0) || (97...102).contains($0) }) else {
            return nil
        }
        self.hex = String(hex)
    }

    /// Of a hash function's 32 bytes.
    public init?(sha256 bytes: some Collection<UInt8>) {
        let digits = Array("0123456789abcdef".utf8)
        self.init(hex: String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self))
    }

    public var description: String { "sha256:\(hex)" }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let digest = Digest(text) else {
            throw DecodingError.dataCorruptedError(
                in: container,
                debugDescription: "'\(text.prefix(100))' is not a sha256 digest"
            )
        }
        self = digest
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

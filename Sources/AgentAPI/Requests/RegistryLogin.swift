import Foundation

/// What the header `X-Registry-Auth` says, as in Docker's Engine API: whom a registry is to be asked as, for one request.
public struct RegistryLogin: Codable, Sendable, Hashable {
    /// The header's name.
    public static let header = "X-Registry-Auth"

    public var username: String?
    public var password: String?
    /// `user:password` in base64, in place of both.
    public var auth: String?
    /// The registry that it is for.
    public var serverAddress: String?
    public var identityToken: String?
    public var registryToken: String?

    enum CodingKeys: String, CodingKey {
        case username
        case password
        case auth
        case serverAddress = "serveraddress"
        case identityToken = "identitytoken"
        case registryToken = "registrytoken"
    }

    public init(username: String? = nil, password: String? = nil) {
        self.username = username
        self.password = password
    }

    /// Reads a header's value: JSON in base64url (RFC 4648, 5), with or without padding; plain base64 is taken too, as
    /// many clients send it.
    ///
    /// - Returns: nil if it is something else.
    public init?(headerValue: String) {
        guard let json = Self.decode(headerValue),
            let login = try? JSONDecoder().decode(RegistryLogin.self, from: json)
        else { return nil }
        self = login
    }

    /// The header's value.
    public func headerValue() throws -> String {
        try APIJSON.encode(self).base64EncodedString().replacing("+", with: "-").replacing("/", with: "_")
    }

    private static func decode(_ text: String) -> Data? {
        var plain = text.replacing("-", with: "+").replacing("_", with: "/")
        while plain.last == "=" { plain.removeLast() }
        return Data(base64Encoded: plain + String(repeating: "=", count: (4 - plain.utf8.count % 4) % 4))
    }
}

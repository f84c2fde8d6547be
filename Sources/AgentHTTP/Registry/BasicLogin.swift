import AgentCore
import Foundation

/// The token in an `Authorization` header as clients of registries send it.
enum BasicLogin {
    /// Makes a bearer header of a basic one, whose password is the token and whose user's name does not matter
    /// (RFC 7617); what is anything else stays as it is.
    static func bearer(_ authorization: String) -> String {
        let parts = authorization.split(separator: " ", maxSplits: 1)
        guard parts.count == 2, parts[0].lowercased() == "basic", let data = Data(base64Encoded: String(parts[1])),
            let text = String(data: data, encoding: .utf8), let colon = text.firstIndex(of: ":")
        else { return authorization }
        return "Bearer \(text[text.index(after: colon)...])"
    }
}

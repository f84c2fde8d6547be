import AgentCore
import AgentHTTP
import ArgumentParser

struct GenerateToken: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gen-jwt",
        abstract: "Prints a token for the TCP API, signed with JWT_SECRET."
    )

    @Option(help: "Who the token is for; stands in the agent's log.")
    var userID = "user"

    @Option(help: "How long it is valid: a whole number and s, m, h or d.")
    var expires = "24h"

    @Option(
        help: "What it allows, separated by commas: instance:read, instance:write, image:*, * (default: everything)."
    )
    var permissions: String?

    func run() async throws {
        let configuration = try AgentConfiguration(environment: try Environment.load())
        guard let secret = configuration.jwtSecret else {
            throw ValidationError("JWT_SECRET is not set; set it to what the agent uses, in the environment or in .env")
        }
        guard let lifetime = Self.lifetime(expires) else {
            throw ValidationError("--expires is '\(expires)'; expected a whole number and s, m, h or d, such as 24h")
        }
        let scopes = permissions.map { $0.split(separator: ",").map { $0.filter { $0 != " " } } }
        print(try await TokenIssuer(secret: secret).token(subject: userID, permissions: scopes, lifetime: lifetime))
    }

    private static func lifetime(_ text: String) -> Duration? {
        guard let unit = text.last, let count = Int(text.dropLast()), count > 0, count < 1_000_000 else { return nil }
        switch unit {
        case "s": return .seconds(count)
        case "m": return .seconds(count * 60)
        case "h": return .seconds(count * 3600)
        case "d": return .seconds(count * 86400)
        default: return nil
        }
    }
}

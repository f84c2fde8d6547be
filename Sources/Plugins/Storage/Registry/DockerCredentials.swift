import AgentCore
import Foundation
import Glibc
import Subprocess
import SystemPackage

/// The credentials in Docker's `config.json`, read anew each time, as `docker login` changes them.
struct DockerCredentials {
    private struct Configuration: Decodable {
        struct Entry: Decodable {
            var auth: String?
            var username: String?
            var password: String?
            var identitytoken: String?
        }

        var auths: [String: Entry]?
        var credHelpers: [String: String]?
        var credsStore: String?
    }

    /// What a helper program answers (docker-credential-helpers).
    private struct Answer: Decodable {
        var username: String
        var secret: String

        enum CodingKeys: String, CodingKey {
            case username = "Username"
            case secret = "Secret"
        }
    }

    private let directory: FilePath?

    init(_ configuration: StorageConfiguration) {
        func variable(_ name: String) -> FilePath? { getenv(name).map { FilePath(String(cString: $0)) } }
        directory =
            configuration.dockerConfigDirectory ?? variable("DOCKER_CONFIG") ?? variable("HOME")?.appending(".docker")
    }

    /// The credentials for a registry; nil if there are none.
    func credentials(for registry: String) async throws -> RegistryCredentials? {
        guard let path = directory?.appending("config.json") else { return nil }
        guard let bytes = try await Blocking.short({ try Files.contents(path, limit: 4 << 20) }) else { return nil }
        let configuration: Configuration
        do {
            configuration = try OCI.decode(Configuration.self, from: bytes, what: "\(path)")
        } catch {
            throw AgentError(
                .internal,
                code: "invalid_docker_config",
                "cannot use the registry credentials",
                cause: error
            )
        }
        let server = registry == "docker.io" ? "https://index.docker.io/v1/" : registry
        if let helper = configuration.credHelpers?[registry] { return try await ask(helper, for: server) }
        let entry = configuration.auths?.first { Self.isKey($0.key, of: registry) }?.value
        if let found = entry.flatMap(Self.credentials) { return found }
        if let helper = configuration.credsStore { return try await ask(helper, for: server) }
        return nil
    }

    /// Keys are hosts, or URLs that begin with them.
    private static func isKey(_ key: String, of registry: String) -> Bool {
        let host = (key.range(of: "://").map { key[$0.upperBound...] } ?? key[...]).prefix { $0 != "/" }
        if registry == "docker.io" {
            return ["index.docker.io", "docker.io", "registry-1.docker.io"].contains(String(host))
        }
        return host == registry
    }

    private static func credentials(_ entry: Configuration.Entry) -> RegistryCredentials? {
        if let token = entry.identitytoken, !token.isEmpty { return .identityToken(token) }
        if let user = entry.username, let password = entry.password { return .password(user: user, password: password) }
        guard let auth = entry.auth, let data = Data(base64Encoded: auth),
            let text = String(data: data, encoding: .utf8),
            let colon = text.firstIndex(of: ":")
        else { return nil }
        return .password(
            user: String(text[..<colon]),
            password: text[text.index(after: colon)...].trimmingCharacters(in: ["\0"])
        )
    }

    /// The end of a pipe to read a short text from: all of it is in there already, so that a helper may end without
    /// reading it.
    private static func pipe(holding text: String) throws -> FileDescriptor {
        let (reading, writing) = try FileDescriptor.pipe()
        do {
            // A new pipe has room for that (PIPE_BUF, pipe(7)).
            _ = try writing.closeAfter { try writing.writeAll(text.utf8.prefix(4096)) }
            return reading
        } catch {
            try reading.close()
            throw error
        }
    }

    private func ask(_ helper: String, for server: String) async throws -> RegistryCredentials? {
        guard !helper.isEmpty,
            helper.utf8.allSatisfy({ $0 == 45 || $0 == 95 || (48...57).contains($0) || (97...122).contains($0 | 32) })
        else {
            throw AgentError(
                .internal,
                code: "invalid_docker_config",
                "'\(helper.prefix(100))' is not the name of a credential helper"
            )
        }
        let program = "docker-credential-\(helper)"
        let result: ExecutionResult<Void, BytesOutput, DiscardedOutput>
        do {
            result = try await run(
                .name(program),
                arguments: ["get"],
                input: .fileDescriptor(try Self.pipe(holding: server), closeAfterSpawningProcess: true),
                output: .bytes(limit: 1 << 20),
                error: .discarded
            )
        } catch {
            throw AgentError(.unavailable, "the credential helper \(program) cannot be run", cause: error)
        }
        guard result.terminationStatus.isSuccess else {
            // A helper says on stdout why it gives nothing (docker-credential-helpers); this one is no failure.
            let words = String(decoding: result.standardOutput.prefix(500), as: UTF8.self)
            if words.hasPrefix("credentials not found in native keychain") { return nil }
            throw AgentError(
                .unavailable,
                code: "credential_helper_failed",
                "the credential helper \(program) gives nothing for \(server): "
                    + (words.split(whereSeparator: \.isNewline).first.map(String.init) ?? "\(result.terminationStatus)")
            )
        }
        let answer: Answer
        do {
            answer = try OCI.decode(Answer.self, from: result.standardOutput, what: "the answer of \(program)")
        } catch {
            throw AgentError(
                .unavailable,
                code: "credential_helper_failed",
                "the credential helper \(program) does not answer as Docker's helpers do",
                cause: error
            )
        }
        return answer.username == "<token>"
            ? .identityToken(answer.secret) : .password(user: answer.username, password: answer.secret)
    }
}

import Foundation
import Glibc
import Subprocess
public import SystemPackage

/// Debian's `docker-registry`, on a free port of the loopback, while a test runs.
public struct DockerRegistry: Sendable {
    public let port: Int
    public var host: String { "127.0.0.1:\(port)" }

    /// Pushes the image of a layout with skopeo.
    public func push(_ layout: FilePath, as name: String, options: [String] = [], image: String = "image") async throws
    {
        try await tool(
            "skopeo",
            ["copy", "--insecure-policy", "--dest-tls-verify=false"] + options + [
                "oci:\(layout):\(image)", "docker://\(host)/\(name)",
            ]
        )
    }

    /// - Parameters:
    ///   - scratch: Where it keeps its data.
    ///   - isProtected: Wants the user `tester` and the password `secret`, as basic authentication.
    ///   - authentication: The section `auth` of its configuration, in place of `isProtected`.
    ///   - identity: What it speaks TLS with; nil speaks plain HTTP.
    ///   - body: Runs while it does.
    /// - Returns: What `body` does.
    /// - Throws: What `body` does, and if the registry cannot be started.
    public static func with<T: Sendable>(
        _ scratch: Scratch,
        isProtected: Bool = false,
        authentication: String? = nil,
        identity: CertificateAuthority.Identity? = nil,
        _ body: @Sendable (DockerRegistry) async throws -> T
    ) async throws -> T {
        let port = try freePort()
        var auth = authentication ?? ""
        if isProtected {
            // bcrypt of "secret"
            let hash = "tester:$2b$04$YEJ2/DCx5MjnDmvLmm8gKei.Xo7IajwNwhG5b5mf35RklcxQ4wGH.\n"
            let file = try scratch.write(Array(hash.utf8), to: "htpasswd")
            auth = "auth:\n  htpasswd:\n    realm: test\n    path: \(file)\n"
        }
        let tls = identity.map { "  tls:\n    certificate: \($0.certificate)\n    key: \($0.key)\n" } ?? ""
        let text = """
            version: 0.1
            log:
              level: error
            storage:
              filesystem:
                rootdirectory: \(scratch.appending("registry"))
            http:
              addr: 127.0.0.1:\(port)

            """ + tls + auth
        let file = try scratch.write(Array(text.utf8), to: "registry.yml")
        let result = try await run(
            .name("docker-registry"),
            arguments: ["serve", file.string],
            input: .none,
            output: .discarded,
            error: .discarded
        ) { (execution) -> T in
            do {
                try await waitUntilListening(port)
                let value = try await body(DockerRegistry(port: port))
                try execution.send(signal: .kill)
                return value
            } catch {
                try? execution.send(signal: .kill)
                throw error
            }
        }
        return result.closureResult
    }

    /// A port that nobody listens on at the moment.
    public static func freePort() throws -> Int {
        let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard socket >= 0 else { throw Errno(rawValue: errno) }
        defer { close(socket) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let result = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(socket, $0, length) == 0 ? getsockname(socket, $0, &length) : -1
            }
        }
        guard result == 0 else { throw Errno(rawValue: errno) }
        return Int(UInt16(bigEndian: address.sin_port))
    }

    /// Asks until it answers: it says nowhere else that it is ready.
    private static func waitUntilListening(_ port: Int) async throws {
        let deadline = ContinuousClock.now + .seconds(30)
        while ContinuousClock.now < deadline {
            let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            defer { close(socket) }
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = in_port_t(UInt16(port).bigEndian)
            address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
            let result = withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
            if result == 0 { return }
            try await Task.sleep(for: .milliseconds(20))
        }
        throw ToolFailure(description: "docker-registry does not listen on port \(port)")
    }
}

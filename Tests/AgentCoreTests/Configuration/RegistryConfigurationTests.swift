import Testing

@testable import AgentCore

@Suite struct RegistryConfigurationTests {
    @Test func mirrorsAreReadInTheirOrder() throws {
        let text =
            "docker.io=https://mirror.example, ghcr.io=http://127.0.0.1:5000/proxy/ghcr/,docker.io=https://second:8443"
        let mirrors = try AgentConfiguration(environment: ["REGISTRY_MIRRORS": text]).registryMirrors
        #expect(
            mirrors.map(\.description) == [
                "docker.io=https://mirror.example", "ghcr.io=http://127.0.0.1:5000/proxy/ghcr",
                "docker.io=https://second:8443",
            ]
        )
        #expect(mirrors[1].path == "proxy/ghcr" && mirrors[1].host == "127.0.0.1:5000" && !mirrors[1].isSecure)
    }

    @Test(arguments: [
        "docker.io", "=https://mirror", "docker.io=", "docker.io=mirror.example", "docker.io=ftp://mirror.example",
        "docker.io=https://", "docker.io=https://user@mirror.example", "docker.io=https://mirror.example?x=1",
        "docker.io=https://mirror.example#x", "docker.io=https://mirror.example:0", "https://docker.io=https://mirror",
        "docker.io=https://mirror.example/UPPER", "docker.io=https://mirror.example/a:b",
        "docker.io/library=https://mirror",
        "docker.io=https://mirror.example//a", "docker=https://mirror.example",
    ])
    func mirrorsThatAreNoneAreRefused(_ text: String) {
        let error = #expect(throws: ConfigurationError.self) {
            try AgentConfiguration(environment: ["REGISTRY_MIRRORS": text])
        }
        #expect(error?.problems.map(\.name) == ["REGISTRY_MIRRORS"])
    }

    @Test func proxiesAreReadAlsoInLowerCase() throws {
        let proxies = try AgentConfiguration(environment: [
            "HTTPS_PROXY": "http://us%40er:p%3Aw@proxy.example:3128/", "http_proxy": "[::1]:8080",
            "no_proxy": "internal.example, 10.0.0.0/8",
        ]).proxies
        #expect(proxies.https?.host == "proxy.example" && proxies.https?.port == 3128)
        #expect(proxies.https?.user == "us@er" && proxies.https?.password == "p:w")
        #expect(proxies.http?.host == "::1" && proxies.http?.port == 8080 && proxies.http?.user == nil)
        #expect(proxies.exceptions.count == 2)
        var dumped = ""
        dump(proxies, to: &dumped)
        #expect(!"\(proxies) \(String(reflecting: proxies)) \(dumped)".contains("p:w"))
    }

    @Test(arguments: [
        "https://proxy.example", "socks5://proxy.example", "http://", "http://proxy.example:0",
        "http://proxy.example/x",
        "http://secret:word@", "http://a b:1", "http://secret%zz@host", "http://[::1", "http://[x]:1",
    ])
    func proxiesThatAreNoneAreRefusedWithoutTheirPassword(_ text: String) {
        let error = #expect(throws: ConfigurationError.self) {
            try AgentConfiguration(environment: ["http_proxy": text])
        }
        #expect(error?.problems.map(\.name) == ["http_proxy"])
        #expect(error?.description.contains("(not shown)") == true)
        #expect(error?.description.contains("secret") == false)
    }

    @Test(arguments: [
        "a b/8", "10.0.0.0/33", "10.0.0/8", "example.com:0", "http://example.com", ".", "*.10.0.0.1", "a*b",
    ])
    func exceptionsThatAreNoneAreRefused(_ text: String) {
        let error = #expect(throws: ConfigurationError.self) { try AgentConfiguration(environment: ["NO_PROXY": text]) }
        #expect(error?.problems.map(\.name) == ["NO_PROXY"])
    }

    @Test(arguments: [
        ("example.com", "example.com", 443, true), ("example.com", "a.example.com", 443, true),
        ("example.com", "notexample.com", 443, false), (".example.com", "example.com", 443, false),
        (".example.com", "a.example.com", 443, true), ("*.example.com", "a.b.example.com", 443, true),
        ("*.example.com", "example.com", 443, false), ("EXAMPLE.com:8443", "example.COM", 8443, true),
        ("example.com:8443", "example.com", 443, false), ("*", "anything.example", 80, true),
        ("192.0.2.7", "192.0.2.7", 80, true), ("192.0.2.7", "192.0.2.8", 80, false),
        ("192.0.2.7:81", "192.0.2.7", 80, false),
        ("192.0.2.0/24", "192.0.2.200", 80, true), ("192.0.2.0/25", "192.0.2.200", 80, false),
        ("192.0.2.0/24", "::ffff:192.0.2.1", 80, true), ("0.0.0.0/0", "198.51.100.1", 80, true),
        ("0.0.0.0/0", "2001:db8::1", 80, false), ("2001:db8::/32", "2001:db8:1::9", 80, true),
        ("192.0.2.0/24", "host.example", 80, false), ("", "localhost", 80, true), ("", "127.9.9.9", 80, true),
        ("", "::1", 80, true), ("", "host.example", 80, false),
    ])
    func exceptionsMeanWhatTheyUsuallyDo(_ rule: String, _ host: String, _ port: Int, _ isDirect: Bool) throws {
        let proxies = try AgentConfiguration(environment: [
            "HTTP_PROXY": "proxy.example:3128", "HTTPS_PROXY": "proxy.example:3128", "NO_PROXY": rule,
        ]).proxies
        for isSecure in [true, false] {
            #expect((proxies.proxy(isSecure: isSecure, host: host, port: port) == nil) == isDirect)
        }
    }

    @Test func credentialsAreNeverShown() {
        let all: [RegistryCredentials] = [
            .password(user: "somebody", password: "geheim"), .identityToken("geheim"), .registryToken("geheim"),
        ]
        var dumped = ""
        dump(all, to: &dumped)
        #expect(!"\(all) \(String(reflecting: all)) \(dumped)".contains("geheim"))
    }
}

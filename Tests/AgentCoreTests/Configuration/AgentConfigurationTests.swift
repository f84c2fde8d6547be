import AgentCore
import SystemPackage
import Testing

@Suite struct AgentConfigurationTests {
    @Test func anEmptyEnvironmentGivesTheDefaults() throws {
        let configuration = try AgentConfiguration(environment: [:])
        #expect(configuration.port == 8080)
        #expect(configuration.dataDirectory == "/var/lib/hypeman")
        #expect(configuration.socket == "/run/hypeman/agent.sock")
        #expect(configuration.maximumOverlaySize == .gibibytes(100))
        #expect(configuration.maximumImageStorage == nil)
        #expect(configuration.jwtSecret == nil)
        #expect(configuration.bootTimeout == .seconds(120))
        #expect(configuration.gateway.description == "10.100.0.1")
        #expect(configuration.networkLimit == nil)
        #expect(configuration.networkOversubscription == 2)
    }

    @Test(arguments: [
        ("PORT", "0"), ("PORT", "65536"), ("PORT", "http"), ("DATA_DIR", "relative"), ("MAX_OVERLAY_SIZE", "100XB"),
        ("MAX_OVERLAY_SIZE", "0"), ("MAX_CONCURRENT_BUILDS", "0"), ("HYPERVISOR", "vmware"), ("ACCELERATOR", "yes"),
        ("LOG_LEVEL", "loud"), ("BOOT_TIMEOUT", "2"), ("BOOT_TIMEOUT", "0s"), ("BOOT_TIMEOUT", "9999999999999999999m"),
        ("INSECURE_REGISTRIES", "http://localhost:5000"), ("KERNEL_PATH", "vmlinux"), ("NETWORK_LIMIT", "fast"),
        ("NETWORK_LIMIT", "0bps"), ("OVERSUB_NETWORK", "0.5"), ("OVERSUB_NETWORK", "nan"), ("OVERSUB_NETWORK", "x"),
        ("NETWORK", "vlan"), ("BRIDGE_NAME", "a-bridge-too-long"), ("BRIDGE_NAME", "a b"), ("BRIDGE_NAME", ".."),
        ("MAX_IMAGE_STORAGE", "0.2"), ("MAX_IMAGE_STORAGE", "0"), ("IMAGE_COMPRESSION", "zip"),
        ("SUBNET_CIDR", "10.100.0.0"),
        ("SUBNET_CIDR", "10.100.0.1/16"), ("SUBNET_CIDR", "10.100.0.0/31"),
        ("SUBNET_CIDR", "10.100.0.0/30"), ("SUBNET_CIDR", "0.0.0.0/0"), ("SUBNET_GATEWAY", "10.101.0.1"),
        ("SUBNET_GATEWAY", "10.100.0.0"), ("SUBNET_GATEWAY", "10.100.255.255"), ("SUBNET_GATEWAY", "gateway"),
        ("UPLINK_INTERFACE", "eth0;"), ("UPLINK_INTERFACE", "vmbr0"), ("DNS_SERVER", "one.one.one.one"),
        ("DNS_SERVER", "1.1.1.1,"), ("NETWORK_ISOLATED", "perhaps"), ("CLOUD_HYPERVISOR", "/a:b"),
    ])
    func aValueThatDoesNotParseIsNamed(_ name: String, _ value: String) {
        let error = #expect(throws: ConfigurationError.self) { try AgentConfiguration(environment: [name: value]) }
        #expect(error?.problems.map(\.name) == [name])
        #expect(error?.description.contains("'\(value)'") == true)
    }

    @Test func severalCloudHypervisorsAreAListOfPaths() throws {
        let environment = ["CLOUD_HYPERVISOR": "/opt/a:/opt/b", "HYPERVISOR": "cloud-hypervisor"]
        let configuration = try AgentConfiguration(environment: environment)
        #expect(configuration.cloudHypervisors == ["/opt/a", "/opt/b"])
        #expect(configuration.hypervisor == .cloudHypervisor)
        #expect(try AgentConfiguration(environment: [:]).cloudHypervisors == [])
    }

    @Test func allProblemsAreNamedAtOnce() {
        let error = #expect(throws: ConfigurationError.self) {
            try AgentConfiguration(environment: ["PORT": "x", "LOG_MAX_SIZE": "y"])
        }
        #expect(error?.problems.map(\.name) == ["PORT", "LOG_MAX_SIZE"])
    }

    @Test func aCertificateWithoutItsKeyIsRefused() {
        let error = #expect(throws: ConfigurationError.self) {
            try AgentConfiguration(environment: ["TLS_CERT": "/a.pem"])
        }
        #expect(error?.problems.map(\.name) == ["TLS_KEY"])
    }

    @Test func theTableNamesEveryVariableOnce() {
        let names = AgentConfiguration.descriptions.map(\.name)
        #expect(Set(names).count == names.count)
        #expect(
            Set(names).isSuperset(of: ["PORT", "DATA_DIR", "JWT_SECRET", "MAX_CONCURRENT_BUILDS", "MAX_OVERLAY_SIZE"])
        )
    }
}

@Suite struct EnvironmentFileTests {
    @Test func readsWhatSystemdReads() throws {
        let file = try EnvironmentFile("# a\n; b\n\nA=1\n B = two words \nC='x=y'\nD=\"q\"\nE=\n", name: ".env")
        #expect(file.values == ["A": "1", "B": "two words", "C": "x=y", "D": "q", "E": ""])
    }

    @Test(arguments: ["A", "=1", "A=\"x"])
    func aBrokenLineIsNamed(_ line: String) {
        let error = #expect(throws: AgentError.self) { try EnvironmentFile("OK=1\n\(line)\n", name: ".env") }
        #expect(error?.message.hasPrefix(".env, line 2:") == true)
    }
}

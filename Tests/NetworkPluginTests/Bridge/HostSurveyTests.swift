import AgentCore
import AgentTestSupport
import SystemPackage
import Testing

@testable import NetworkPlugin

@Suite struct HostSurveyTests {
    private static let configuration = configuration(subnet: "10.100.0.0/16", gateway: "10.100.0.1")

    private static func configuration(subnet: String, gateway: String, uplink: String? = nil) -> BridgeConfiguration {
        BridgeConfiguration(
            bridge: "vmbr0",
            subnet: block(subnet),
            gateway: IPv4Address(gateway) ?? IPv4Address(value: 0),
            uplink: uplink,
            dnsServers: [],
            directory: "/nonexistent"
        )
    }

    private static func block(_ text: String) -> IPv4Subnet {
        guard let subnet = IPv4Subnet(text) else { preconditionFailure("no subnet: \(text)") }
        return subnet
    }

    private static func device(
        _ name: String,
        kind: String? = nil,
        isOurs: Bool = false,
        addresses: [String] = []
    ) -> HostSurvey.Device {
        HostSurvey.Device(
            name: name,
            kind: kind,
            mtu: 1500,
            isUp: true,
            isOurs: isOurs,
            addresses: addresses.map(block)
        )
    }

    private static func route(_ destination: String, _ device: String, metric: Int = 0) -> HostSurvey.Route {
        HostSurvey.Route(destination: block(destination), device: device, metric: metric)
    }

    private static func survey(
        _ devices: [HostSurvey.Device] = [],
        _ routes: [HostSurvey.Route] = [],
        forwards: Bool = true
    ) -> HostSurvey {
        HostSurvey(
            devices: [device("lo"), device("eth0", addresses: ["192.0.2.0/24"])] + devices,
            routes: [route("0.0.0.0/0", "eth0", metric: 100), route("192.0.2.0/24", "eth0")] + routes,
            forwards: forwards
        )
    }

    private func refusal(_ body: () throws -> Void) -> AgentError? {
        #expect(throws: AgentError.self, performing: body)
    }

    @Test func anOrdinaryHostIsFine() throws {
        try Self.survey().check(Self.configuration)
        #expect(try Self.survey().uplink(for: Self.configuration)?.name == "eth0")
    }

    @Test func ourOwnBridgeIsNotInOurWay() throws {
        let bridge = Self.device("vmbr0", kind: "bridge", isOurs: true, addresses: ["10.100.0.0/16"])
        try Self.survey([bridge], [Self.route("10.100.0.0/16", "vmbr0")]).check(Self.configuration)
    }

    @Test(arguments: ["10.100.0.0/16", "10.0.0.0/8", "10.100.7.0/24", "10.100.0.3/32"])
    func aRouteIntoTheSubnetIsNamedWithAFreeSubnet(_ destination: String) throws {
        let error = refusal { try Self.survey([], [Self.route(destination, "wg0")]).check(Self.configuration) }
        #expect(error?.code == "subnet_in_use")
        #expect(error?.message.contains("\(destination) over 'wg0'") == true)
        let words = try #require(error?.message.split(separator: " ").map(String.init))
        let free = try #require(words.compactMap { IPv4Subnet($0) }.last)
        #expect(free.prefixLength == 16)
        #expect(!free.overlaps(Self.block(destination)) && !free.overlaps(Self.configuration.subnet))
    }

    @Test func anAddressOfTheSubnetOnAnotherDeviceIsNamed() {
        let other = Self.device("docker0", kind: "bridge", addresses: ["10.100.0.0/24"])
        let error = refusal { try Self.survey([other]).check(Self.configuration) }
        #expect(error?.message.contains("10.100.0.0/24 of 'docker0'") == true)
    }

    @Test func aBridgeWithAForeignAddressIsRefused() {
        let bridge = Self.device("vmbr0", kind: "bridge", isOurs: true, addresses: ["10.200.0.0/16"])
        #expect(refusal { try Self.survey([bridge]).check(Self.configuration) }?.code == "bridge_in_use")
        let foreign = Self.device("vmbr0", kind: "bridge", addresses: ["10.100.0.0/16"])
        #expect(refusal { try Self.survey([foreign]).check(Self.configuration) }?.code == "bridge_in_use")
        let card = Self.device("vmbr0", kind: "veth")
        #expect(refusal { try Self.survey([card]).check(Self.configuration) }?.code == "bridge_name_taken")
    }

    @Test func aHostThatDoesNotForwardIsToldHow() {
        let survey = Self.survey([], [Self.route("10.100.0.0/16", "wg0")], forwards: false)
        let error = refusal { try survey.check(Self.configuration) }
        #expect(error?.code == "forwarding_off" && error?.message.contains("net.ipv4.ip_forward=1") == true)
        #expect(survey.forwardingFinding.level == .error && Self.survey().forwardingFinding.level == .ok)
        // What else is wrong is not hidden by it.
        #expect(refusal { try survey.checkConflicts(Self.configuration) }?.code == "subnet_in_use")
    }

    @Test func theUplinkIsTheDefaultRouteWithTheSmallestMetric() throws {
        let survey = Self.survey([Self.device("wlan0")], [Self.route("0.0.0.0/0", "wlan0", metric: 50)])
        #expect(try survey.uplink(for: Self.configuration)?.name == "wlan0")
        let none = HostSurvey(devices: [], routes: [], forwards: true)
        #expect(try none.uplink(for: Self.configuration) == nil)
    }

    @Test(arguments: ["docker0", "br-1234567890ab", "virbr0"])
    func aBridgeOfAnotherSystemIsNoUplink(_ name: String) {
        let survey = Self.survey([Self.device(name, kind: "bridge")], [Self.route("0.0.0.0/0", name, metric: 1)])
        #expect(refusal { _ = try survey.uplink(for: Self.configuration) }?.code == "uplink_is_bridge")
        let asked = Self.configuration(subnet: "10.100.0.0/16", gateway: "10.100.0.1", uplink: name)
        #expect(refusal { _ = try survey.uplink(for: asked) }?.message.contains("eth0") == true)
    }

    @Test func aBridgeThatHoldsTheHostsOwnCardIsAnUplink() throws {
        let survey = Self.survey([Self.device("br0", kind: "bridge")], [Self.route("0.0.0.0/0", "br0", metric: 1)])
        #expect(try survey.uplink(for: Self.configuration)?.name == "br0")
        let agents = Self.survey(
            [Self.device("br1", kind: "bridge", isOurs: true)],
            [Self.route("0.0.0.0/0", "br1", metric: 1)]
        )
        #expect(refusal { _ = try agents.uplink(for: Self.configuration) }?.code == "uplink_is_bridge")
    }

    @Test func anUplinkThatIsNotThereIsNamedWithThoseThatAre() {
        let asked = Self.configuration(subnet: "10.100.0.0/16", gateway: "10.100.0.1", uplink: "eth9")
        let error = refusal { _ = try Self.survey().uplink(for: asked) }
        #expect(error?.message.contains("'eth9' does not exist") == true && error?.message.contains("eth0") == true)
    }
}

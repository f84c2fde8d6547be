import AgentCore
import AgentTestSupport
import DBus
import Dispatch
import Glibc
import ServiceLifecycle
import SystemPackage
import Testing

@testable import AgentDBus

/// Which bus the agent is on, and what `check` says of it.
@Suite(.serialized) struct BusCheckTests {
    @Test func choicesNameTheirBuses() throws {
        let environment = ["DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/a", "DBUS_SESSION_BUS_ADDRESS": "unix:path=/b"]
        func address(_ text: String, _ environment: [String: String]) throws -> String? {
            try DBusConfiguration(try #require(BusChoice(text)), environment: environment).address?.description
        }
        #expect(try address("auto", environment) == "unix:path=/a")
        #expect(try address("system", environment) == "unix:path=/a")
        #expect(try address("system", [:]) == "unix:path=/var/run/dbus/system_bus_socket")
        #expect(try address("session", environment) == "unix:path=/b")
        #expect(try address("session", ["XDG_RUNTIME_DIR": "/run/user/1"]) == "unix:path=/run/user/1/bus")
        #expect(try address("unix:path=/c", environment) == "unix:path=/c")
        #expect(try address("off", environment) == nil)
        #expect(throws: AgentError.self) { try address("session", [:]) }
        for text in ["", "System", "tcp:host=localhost", "unixexec:path=/bin/sh", "unix:tmpdir=/tmp"] {
            #expect(BusChoice(text) == nil, "\(text)")
        }
        #expect(throws: AgentError.self) { try address("unix:path=/a;tcp:host=b", environment) }
    }

    @Test func aBusThatIsNotThereMattersOnlyIfItWasAskedFor() async throws {
        let address = try #require(BusAddress("unix:path=/nonexistent/bus"))
        let quiet = await BusCheck(DBusConfiguration(address: address, isRequired: false)).findings()
        #expect(quiet.map(\.level) == [.ok])
        let asked = await BusCheck(DBusConfiguration(address: address, isRequired: true)).findings()
        #expect(asked.map(\.level) == [.warning] && asked[0].fix != nil)
        let off = await BusCheck(DBusConfiguration(address: nil, isRequired: false)).findings()
        #expect(off.map(\.level) == [.ok])
    }

    @Test func theBusIsLookedAt() async throws {
        try await PrivateBus.with { bus async throws in
            let address = try #require(BusAddress(bus.address))
            let check = BusCheck(DBusConfiguration(address: address, isRequired: true))
            let free = await check.findings()
            #expect(free.map(\.level) == [.ok, .warning])
            #expect(free[0].message.contains("can be had") && free[1].subject == "polkit")
            let owner = Connection(address: address, logger: BusWorld.silent)
            try await owner.open()
            try await owner.own(AgentBus.name)
            #expect(await check.findings()[0].message.contains("running agent"))
            await owner.close()
        }
        let forbidding = "<policy context=\"default\"><deny own=\"*\"/></policy>"
        try await PrivateBus.with(policy: forbidding) { bus async throws in
            let address = try #require(BusAddress(bus.address))
            let found = await BusCheck(DBusConfiguration(address: address, isRequired: true)).findings()
            #expect(found[0].level == .warning && found[0].fix?.contains("io.hypeman.Agent1.conf") == true)
        }
    }

    @Test func anAgentWithoutABusRunsUntilItIsStopped() async throws {
        try await AgentWorld.with { world async throws in
            let agent = BusWorld.agent(of: world, on: nil, isRequired: false)
            let group = ServiceGroup(configuration: .init(services: [agent], logger: BusWorld.silent))
            let running = Task { try await group.run() }
            await group.triggerGracefulShutdown()
            try await running.value
        }
    }

    @Test func aBusThatLetsNobodyInIsTriedAgainAndSaidOnce() async throws {
        try await Scratch.with { scratch async throws in
            let bus = try RefusingBus(at: scratch.appending("bus").string)
            let address = try #require(BusAddress("unix:path=\(scratch.appending("bus"))"))
            try await AgentWorld.with { world async throws in
                let log = LogRecorder()
                let agent = BusWorld.agent(of: world, on: address, isRequired: false, logger: log.logger)
                let group = ServiceGroup(configuration: .init(services: [agent], logger: BusWorld.silent))
                let running = Task { try await group.run() }
                // With the third try two have failed.
                await bus.refuse(3)
                #expect(log.lines == ["info cannot be on the bus; tried again"])
                await group.triggerGracefulShutdown()
                try await running.value
            }
        }
    }
}

/// Takes connections, listens to the first line, and ends them.
private final class RefusingBus: Sendable {
    private let listener: UnixListener
    private let queue = DispatchQueue(label: "test.refusing-bus")

    init(at path: String) throws { listener = try UnixListener(at: path) }

    /// Returns when so many have come.
    func refuse(_ count: Int) async {
        await withCheckedContinuation { continuation in
            queue.async { [listener] in
                for _ in 0..<count {
                    let peer = accept(listener.descriptor, nil, nil)
                    // Whoever ends it before it was spoken to resets it, which is another error.
                    var byte: UInt8 = 0
                    while read(peer, &byte, 1) == 1, byte != UInt8(ascii: "\n") {}
                    close(peer)
                }
                continuation.resume()
            }
        }
    }
}

import AgentAPI
import ArgumentParser
import Testing

@testable import hypeman

/// Forks and consoles as they are typed.
@Suite struct ForkArgumentTests {
    @Test func everyOptionReachesTheRequest() throws {
        let arguments = ["fork", "--from-running", "--target", "standby", "-p", "81:80/udp", "web", "twin"]
        let fork = try #require(try Hypeman.parseAsRoot(arguments) as? ForkCommand)
        #expect(fork.instance == "web" && fork.fromRunning)
        #expect(
            try fork.options.body(name: fork.name, fromRunning: true)
                == ForkInstanceBody(
                    name: "twin",
                    fromRunning: true,
                    targetState: "Standby",
                    ports: [PortMapping(hostPort: 81, guestPort: 80, transport: "udp")]
                )
        )
        let plain = try #require(try Hypeman.parseAsRoot(["snapshot", "fork", "kept", "twin"]) as? SnapshotForkCommand)
        #expect(plain.snapshot == "kept")
        #expect(try plain.options.body(name: plain.name) == ForkInstanceBody(name: "twin"))
    }

    @Test(arguments: [
        ["fork", "web"], ["fork", "--target", "Paused", "web", "twin"], ["fork", "-p", "80", "web", "twin"],
        ["snapshot", "fork", "kept"], ["snapshot", "fork", "--from-running", "kept", "twin"], ["console"],
        ["console", "-n", "-1", "web"], ["console", "-n", "some", "web"],
    ])
    func whatMakesNoSenseIsRefused(_ arguments: [String]) {
        #expect(throws: (any Error).self) { try Hypeman.parseAsRoot(arguments) }
    }
}

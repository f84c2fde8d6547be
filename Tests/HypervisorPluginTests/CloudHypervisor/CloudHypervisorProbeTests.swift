import AgentCore
import AgentTestSupport
import HypervisorPlugin
import SystemPackage
import Testing

@testable import HypervisorPlugin

struct CloudHypervisorProbeTests {
    @Test(
        arguments: [
            ("cloud-hypervisor v52.0.0\n", "52.0.0"), ("cloud-hypervisor v51.1\nEnabled features: []", "51.1"),
            ("cloud-hypervisor v25.0-206-ge45e3df6", "25.0-206-ge45e3df6"), ("cloud-hypervisor 52", nil),
            ("QEMU emulator version 7.2.22", nil), ("cloud-hypervisor vx", nil), ("", nil),
        ] as [(String, String?)]
    )
    func theVersionIsRead(answer: String, version: String?) {
        #expect(CloudHypervisorVersion(answer: answer)?.description == version)
    }

    @Test func onlyVersionsThatKnowItRestoreLazily() throws {
        let finding = CloudHypervisorFinding(programs: [], hasLandlock: false, hasUserFaults: true)
        for (answer, expected) in [("cloud-hypervisor v52.0", true), ("cloud-hypervisor v51.1", false)] {
            let version = try #require(CloudHypervisorVersion(answer: answer))
            #expect(finding.restoresLazily(.init(executable: "/x", version: version)) == expected)
        }
    }

    @Test func withoutKVMItIsUnavailableWithTheReason() async throws {
        try await StubFixture.with { fixture in
            let probe = CloudHypervisorProbe(fixture.configuration, kvm: { .unusable(reason: "no svm here") })
            let error = await #expect(throws: AgentError.self) { try await probe.find() }
            #expect(error?.kind == .unavailable && error?.code == "kvm_unavailable")
            #expect(error?.message.contains("no svm here") == true)
            let asked = #expect(throws: AgentError.self) { try CloudHypervisorProbe.requireKVM(.tcg, .usable) }
            #expect(asked?.message.contains("ACCELERATOR=tcg") == true)
        }
    }

    @Test func aProgramThatDoesNotWorkIsPassedOverAndAnOldOneRefused() async throws {
        try await StubFixture.with { fixture in
            let old = try StubFixture.install("v45.0", in: fixture.scratch, "old")
            func information(_ executables: [FilePath]) async throws -> HypervisorInformation {
                try await StubFixture.makeDriver(CloudHypervisorConfiguration(executables: executables)).information()
            }
            let found = try await information([old, "/bin/false", "/nonexistent"] + fixture.configuration.executables)
            #expect(found.version == "52.0.0" && found.otherVersions == [])
            let refused = await #expect(throws: AgentError.self) { try await information([old]) }
            #expect(refused?.message.contains("45.0") == true)
            let missing = await #expect(throws: AgentError.self) { try await information(["/nonexistent"]) }
            #expect(missing?.code == "hypervisor_not_found")
        }
    }

    @Test func refusalsAreReadInBothForms() {
        let array = APIRefusal(status: 500, body: Array(#"["a","","b"]"#.utf8))
        #expect(array.words == ["a", "b"] && array.description == "a: b" && !array.isDiskLock)
        #expect(APIRefusal(status: 400, body: Array("plain \n".utf8)).description == "plain")
        #expect(APIRefusal(status: 404, body: []).description == "HTTP status 404, without a word")
        #expect(APIRefusal(status: 500, body: Array("[1]".utf8)).description == "[1]")
        let long = APIRefusal(status: 500, body: [UInt8](repeating: 0x61, count: 1 << 20))
        #expect(long.description.utf8.count <= 4096)
        for words in ["Error locking disk images: Another instance likely holds a lock", "AlreadyLocked"] {
            #expect(APIRefusal(status: 500, body: Array(words.utf8)).isDiskLock)
        }
    }

    @Test func theGraphPrefersIt() async throws {
        let graph = Graph {
            CloudHypervisorPlugin.providers
            QEMUPlugin.providers
            value(CloudHypervisorConfiguration())
            value(QEMUConfiguration())
            value(StubFixture.logger)
        }
        let drivers = try await graph.with([any HypervisorDriver].self) { drivers in drivers.map(\.name) }
        #expect(drivers == [.cloudHypervisor, .qemu])
    }
}

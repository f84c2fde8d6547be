import CloudHypervisorStub
import Foundation
import Testing

/// The checker must be able to fail, or what it passes means nothing.
struct SpecificationTests {
    private let specification: Specification

    init() throws { specification = try Specification() }

    private func problems(_ action: String, _ body: String, method: String = "PUT") -> [String] {
        specification.problems(
            method: method,
            uri: "/api/v1/\(action)",
            contentType: body.isEmpty ? nil : "application/json",
            body: Data(body.utf8)
        )
    }

    @Test(arguments: [
        ("vm.boot", ""), ("vm.create", #"{"payload":{"kernel":"/k"}}"#), ("vm.resize", #"{"desired_vcpus":1}"#),
        ("vm.restore", #"{"source_url":"file:///x","memory_restore_mode":"OnDemand"}"#),
    ])
    func whatIsDocumentedPasses(_ action: String, _ body: String) {
        #expect(problems(action, body) == [])
    }

    @Test(arguments: [
        ("vm.nothing", "", "no path"), ("vm.boot", "{}", "takes no body"), ("vm.create", "", "needs a body"),
        ("vm.create", "{", "not JSON"), ("vm.create", "[]", "not of the type object"),
        ("vm.create", "{}", ".payload is missing"),
        ("vm.create", #"{"payload":{"kernle":"/k"}}"#, ".payload.kernle is not known"),
        ("vm.create", #"{"payload":{"kernel":1}}"#, ".payload.kernel is not of the type string"),
        ("vm.create", #"{"payload":{},"cpus":{"boot_vcpus":1}}"#, ".cpus.max_vcpus is missing"),
        ("vm.create", #"{"payload":{},"cpus":{"boot_vcpus":0,"max_vcpus":1}}"#, "0 < 1"),
        ("vm.create", #"{"payload":{},"cpus":{"boot_vcpus":true,"max_vcpus":1}}"#, "not of the type integer"),
        ("vm.create", #"{"payload":{},"pvpanic":1}"#, ".pvpanic is not of the type boolean"),
        ("vm.create", #"{"payload":{},"memory":{"size":1.5}}"#, "not of the type integer"),
        ("vm.create", #"{"payload":{},"vsock":{"cid":2,"socket":"/s"}}"#, "2 < 3"),
        ("vm.create", #"{"payload":{},"console":{"mode":"off"}}"#, "'off' is not one of"),
        ("vm.create", #"{"payload":{},"disks":[{},{"pci_segment":65536}]}"#, ".disks[1].pci_segment: 65536 is no"),
        ("vm.create", #"{"payload":{},"disks":[{"pci_device_id":256}]}"#, "256 is no uint8"),
        ("vm.create", #"{"payload":{},"landlock_rules":[{"path":"/"}]}"#, ".access is missing"),
    ])
    func whatIsNotDocumentedIsNamed(_ action: String, _ body: String, _ words: String) {
        let found = problems(action, body)
        #expect(found.contains { $0.contains(words) }, "\(found)")
    }

    @Test func aMethodATypeAndAnAnswerAreCheckedToo() {
        #expect(problems("vm.boot", "", method: "POST").first?.contains("takes no POST") == true)
        let text = specification.problems(
            method: "PUT",
            uri: "/api/v1/vm.resize",
            contentType: "text/plain",
            body: Data("{}".utf8)
        )
        #expect(text.first?.contains("text/plain") == true)
        func answer(_ body: String) -> [String] {
            specification.problems(answerTo: "GET", "/api/v1/vmm.ping", body: Data(body.utf8))
        }
        #expect(answer(#"{"version":"52"}"#) == [])
        #expect(answer(#"{"build_version":"52"}"#) == [".version is missing"])
    }
}

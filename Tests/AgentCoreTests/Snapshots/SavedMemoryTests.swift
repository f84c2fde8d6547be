import SystemPackage
import Testing

@testable import AgentCore

@Suite struct SavedMemoryTests {
    private func check(_ saved: String, here version: String, others: [String]) throws {
        let machine = MachineDescription(
            instance: .random(),
            size: MachineSize(vcpus: 1, memory: .mebibytes(64)),
            kernel: "/k",
            initrd: "/i",
            kernelArguments: [],
            disks: [],
            card: nil,
            runtimeDirectory: "/run/x"
        )
        let memory = SavedMemory(
            hypervisor: .cloudHypervisor,
            version: saved,
            accelerator: .kvm,
            processor: nil,
            session: "",
            machine: machine,
            outputPosition: 0
        )
        var information = HypervisorInformation(
            name: .cloudHypervisor,
            version: version,
            executable: "/x",
            accelerator: .kvm,
            acceleratorReason: nil,
            capabilities: HypervisorCapabilities(
                pause: true,
                snapshot: true,
                hotplug: true,
                resize: true,
                lazyRestore: true
            )
        )
        information.otherVersions = others
        try memory.check(information, processor: nil)
    }

    @Test func everyVersionThatIsHereCounts() throws {
        try check("52.0", here: "52.0", others: [])
        try check("51.1", here: "52.0", others: ["50.0", "51.1"])
        let error = #expect(throws: AgentError.self) { try check("49.0", here: "52.0", others: ["51.1"]) }
        #expect(error?.code == "snapshot_version_mismatch" && error?.message.contains("52.0, 51.1") == true)
    }
}

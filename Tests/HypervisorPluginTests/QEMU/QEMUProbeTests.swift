import AgentCore
import SystemPackage
import Testing

@testable import HypervisorPlugin

struct QEMUProbeTests {
    @Test(
        arguments: [
            ("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)\nCopyright", "7.2.22"),
            ("QEMU emulator version 9.1.0\n", "9.1.0"), ("QEMU emulator version ", nil), ("bash 5.2", nil), ("", nil),
        ] as [(String, String?)]
    )
    func theVersionIsRead(text: String, version: String?) {
        #expect(QEMUProbe.parse(version: text) == version)
    }

    @Test func aDeviceThatOpensProvesNothing() {
        let finding = KVMProbe.judge(flags: ["sse"], deviceOpened: true, machineMade: true, error: .noSuchProcess)
        guard case .unusable(let reason) = finding else {
            Issue.record("usable without svm or vmx")
            return
        }
        #expect(reason.contains("svm"))
    }

    @Test func flagsDeviceAndMachineTogetherAreUsable() {
        for flag in ["svm", "vmx"] as [Substring] {
            #expect(
                KVMProbe.judge(flags: [flag], deviceOpened: true, machineMade: true, error: .noSuchProcess) == .usable
            )
        }
        #expect(
            KVMProbe.judge(flags: ["svm"], deviceOpened: false, machineMade: false, error: .noSuchFileOrDirectory)
                != .usable
        )
        #expect(
            KVMProbe.judge(flags: ["svm"], deviceOpened: true, machineMade: false, error: .permissionDenied) != .usable
        )
    }

    @Test func theProcessorsFlagsAreRead() {
        let text = "processor : 0\nmodel name : x\nflags\t\t: fpu vme svm\nprocessor : 1\nflags : vmx\n"
        #expect(KVMProbe.processorFlags(Array(text.utf8)) == ["fpu", "vme", "svm"])
        #expect(KVMProbe.processorFlags([]) == [])
    }

    @Test func configuredKVMThatDoesNotWorkIsRefusedAndAutoFallsBack() throws {
        #expect(throws: AgentError.self) { try QEMUProbe.choose(.kvm, .unusable(reason: "r")) }
        let fallback = try QEMUProbe.choose(.auto, .unusable(reason: "r"))
        #expect(fallback.0 == .tcg && fallback.reason == "r")
        let kvm = try QEMUProbe.choose(.auto, .usable)
        #expect(kvm.0 == .kvm && kvm.reason == nil)
        #expect(try QEMUProbe.choose(.tcg, .usable).0 == .tcg)
    }
}

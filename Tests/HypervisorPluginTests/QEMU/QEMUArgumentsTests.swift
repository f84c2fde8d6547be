import AgentCore
import Foundation
import SystemPackage
import Testing

@testable import HypervisorPlugin

struct QEMUArgumentsTests {
    private func arguments(
        _ change: (inout MachineDescription) -> Void = { _ in },
        accelerator: Accelerator = .tcg,
        vhost: Bool = false
    ) throws -> [String] {
        var machine = MachineDescription(
            instance: .random(),
            size: MachineSize(vcpus: 2, memory: .mebibytes(256)),
            kernel: "/k",
            initrd: "/i",
            kernelArguments: ["one", "two"],
            disks: [],
            card: nil,
            runtimeDirectory: "/run/x"
        )
        change(&machine)
        return try QEMUArguments(
            machine: machine,
            accelerator: accelerator,
            files: try QEMUFiles(machine.runtimeDirectory),
            vhost: vhost
        ).make()
    }

    private func value(after option: String, in arguments: [String]) -> String? {
        arguments.firstIndex(of: option).map { arguments[$0 + 1] }
    }

    @Test func spawningIsDenied() throws {
        let sandbox = value(after: "-sandbox", in: try arguments())
        #expect(sandbox == "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny")
    }

    @Test func theMarkIsAnArgumentOfItsOwn() throws {
        let instance = InstanceID.random()
        #expect(try arguments { $0.instance = instance }.contains("hypeman-\(instance)"))
    }

    @Test func theKernelKeepsItsRandomAddressUnderKVM() throws {
        #expect(value(after: "-append", in: try arguments())?.contains("nokaslr") == true)
        #expect(value(after: "-append", in: try arguments(accelerator: .kvm))?.contains("nokaslr") == false)
        #expect(value(after: "-append", in: try arguments())?.hasSuffix("one two") == true)
    }

    @Test func commasInPathsStayInThem() throws {
        let made = try arguments {
            $0.runtimeDirectory = "/run/a,b"
            $0.disks = [.init(serial: "s", path: "/d,readonly=\"x\"", readOnly: true)]
        }
        #expect(made.contains("socket,id=control,path=/run/a,,b/qmp.sock,server=on,wait=off"))
        let block = try #require(value(after: "-blockdev", in: made))
        let object = try #require(try JSONSerialization.jsonObject(with: Data(block.utf8)) as? [String: Any])
        #expect((object["file"] as? [String: Any])?["filename"] as? String == "/d,readonly=\"x\"")
        #expect(object["read-only"] as? Bool == true)
        #expect(object["discard"] as? String == "ignore")
    }

    @Test func aWritableDiskGivesFreedBlocksBack() throws {
        let made = try arguments { $0.disks = [.init(serial: "overlay", path: "/d", readOnly: false)] }
        #expect(value(after: "-blockdev", in: made)?.contains(#""discard":"unmap""#) == true)
    }

    @Test func aSerialThatTheDeviceWouldCutIsRefused() {
        #expect(throws: AgentError.self) {
            try arguments { $0.disks = [.init(serial: String(repeating: "s", count: 21), path: "/d", readOnly: true)] }
        }
    }

    @Test func aTAPBecomesACardAndItsAbsenceNone() throws {
        let mac = try #require(MACAddress("02:00:00:00:00:01"))
        let made = try arguments({ $0.card = .init(tap: "tap0", mac: mac, mtu: 1400) }, vhost: true)
        let network = try #require(value(after: "-netdev", in: made))
        #expect(network.contains(#""ifname":"tap0""#) && network.contains(#""vhost":true"#))
        #expect(made.contains { $0.contains(#""host_mtu":1400"#) && $0.contains("02:00:00:00:00:01") })
        #expect(try arguments().contains("-netdev") == false)
    }

    @Test func memoryIsRoundedUpToWholeKibibytes() throws {
        #expect(value(after: "-m", in: try arguments { $0.size.memory = ByteSize(bytes: 1025) }) == "size=2K")
    }

    @Test func whatWasPluggedInIsInItsPlaceFromTheStart() throws {
        let made = try arguments {
            $0.disks = [
                .init(serial: "rootfs", path: "/r", readOnly: true),
                .init(serial: "vol", path: "/v", readOnly: false, slot: 7),
            ]
        }
        let disks = made.filter { $0.contains("virtio-blk-pci") }
        #expect(disks.first?.contains(#""bus""#) == false)
        #expect(disks.last?.contains(#""addr":"8","bus":"hotplug""#) == true)
        #expect(disks.last?.contains(#""id":"slot7""#) == true)
    }
}

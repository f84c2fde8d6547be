import AgentCore
import CloudHypervisorStub
import Foundation
import SystemPackage
import Testing

@testable import HypervisorPlugin

struct CloudHypervisorConfigTests {
    private func machine(_ change: (inout MachineDescription) -> Void = { _ in }) throws -> MachineDescription {
        var machine = MachineDescription(
            instance: .random(),
            size: MachineSize(vcpus: 2, memory: .mebibytes(256)),
            kernel: "/k",
            initrd: "/i",
            kernelArguments: ["one", "two"],
            disks: [
                .init(serial: "rootfs", path: "/root", readOnly: true),
                .init(serial: "overlay", path: "/overlay", readOnly: false, rateLimit: .mebibytes(10)),
                .init(serial: "vol-1", path: "/volume", readOnly: false, slot: 4),
            ],
            card: nil,
            runtimeDirectory: "/run/x"
        )
        machine.card = .init(tap: "tap0", mac: try #require(MACAddress("02:00:00:00:00:01")), mtu: 1400)
        change(&machine)
        return machine
    }

    private func config(
        sandbox: [FilePath]? = ["/data"],
        _ change: (inout MachineDescription) -> Void = { _ in }
    ) throws -> JSON {
        let machine = try machine(change)
        let config = CloudHypervisorConfig(
            machine: machine,
            accelerator: .kvm,
            files: try CloudHypervisorFiles(machine.runtimeDirectory),
            sandbox: sandbox
        )
        return try JSON(JSONEncoder().encode(try config.make()))
    }

    @Test func aMachineOfEverythingIsAsSpecified() throws {
        let whole = try config { $0.largestSize = MachineSize(vcpus: 8, memory: .gibibytes(1)) }
        #expect(try Specification().problems(whole, schema: "VmConfig") == [])
        let least = try config(sandbox: nil) {
            $0.disks = []
            $0.card = nil
        }
        #expect(try Specification().problems(least, schema: "VmConfig") == [])
        #expect(least["net"] == nil && least["landlock_enable"] == nil && least["memory"]?["hotplug_size"] == nil)
    }

    @Test func devicesAreNamedByWhatTheyAre() throws {
        let config = try config()
        let disks = config["disks"]?.elements.map { $0["id"]?.text }
        #expect(disks == ["disk-rootfs", "disk-overlay", "slot4-disk-vol-1"])
        #expect(config["disks"]?.elements.map { $0["serial"]?.text } == ["rootfs", "overlay", "vol-1"])
        #expect(config["net"]?.elements.first?["id"] == .string("card"))
        #expect(DeviceID.slot(of: "slot4-disk-vol-1") == 4 && DeviceID.slot(of: "disk-slot4-x") == nil)
        #expect(DeviceID.isDisk("slot4-disk-vol-1", serial: "vol-1") && !DeviceID.isDisk("disk-vol-1", serial: "1"))
        #expect(DeviceID.isCard("slot0-card") && !DeviceID.isCard("disk-card"))
    }

    @Test func aLimitIsThatManyBytesASecondInStepsThatTheLimiterCanKeep() throws {
        let bucket = try config()["disks"]?.elements[1]["rate_limiter_config"]?["bandwidth"]
        #expect(bucket?["size"] == .integer(10 << 20) && bucket?["refill_time"] == .integer(1000))
        #expect(try config()["disks"]?.elements[0]["rate_limiter_config"] == nil)
    }

    @Test func roomForMoreIsInWholeBlocksOfVirtioMem() throws {
        let memory = try config { $0.largestSize = MachineSize(vcpus: 3, memory: .mebibytes(300)) }["memory"]
        #expect(memory?["size"] == .integer(256 << 20) && memory?["hotplug_size"] == .integer(128 << 20))
        #expect(memory?["hotplug_method"] == .string("VirtioMem") && memory?["shared"] == .bool(false))
        #expect(try config { $0.size.memory = ByteSize(bytes: 1025) }["memory"]?["size"] == .integer(1 << 20))
    }

    @Test func itMayTouchItsOwnDirectoryAndWhatIsNamedLater() throws {
        let rules = try config()["landlock_rules"]?.elements.map {
            "\($0["path"]?.text ?? "") \($0["access"]?.text ?? "")"
        }
        #expect(rules == ["/run/x rw", "/dev/net/tun rw", "/sys/devices/virtual/net r", "/data rw"])
    }

    @Test func theKernelIsReachedByALinkThatGoes() throws {
        let payload = try config()["payload"]
        #expect(payload?["kernel"] == .string("/run/x/kernel"))
        #expect(payload?["cmdline"]?.text?.hasPrefix("console=ttyS0 panic=-1 reboot=t ") == true)
        #expect(payload?["cmdline"]?.text?.hasSuffix(" one two") == true)
        #expect(payload?["cmdline"]?.text?.contains("nokaslr") == false)
    }

    @Test func aSerialThatTheDeviceWouldCutIsRefused() {
        #expect(throws: AgentError.self) {
            try config { $0.disks = [.init(serial: String(repeating: "s", count: 21), path: "/d", readOnly: true)] }
        }
    }

    @Test func aSavedConfigurationKeepsWhatItIsNotToldToChange() throws {
        let machine = try machine { $0.disks[1].path = "/other" }
        let files = try CloudHypervisorFiles("/run/y")
        var saved = try #require(
            try JSONSerialization.jsonObject(with: try config().data) as? [String: Any]
        )
        saved["something_new"] = ["x": 1]
        let adapted = try CloudHypervisorSnapshot.adapt(saved, to: machine, files, sandbox: nil)
        let json = try JSON(try JSONSerialization.data(withJSONObject: adapted))
        #expect(json["disks"]?.elements.map { $0["path"]?.text } == ["/root", "/other", "/volume"])
        #expect(json["disks"]?.elements[1]["rate_limiter_config"] != nil)
        #expect(json["serial"]?["socket"] == .string("/run/y/console.sock"))
        #expect(json["vsock"]?["socket"] == .string("/run/y/vsock.sock") && json["vsock"]?["cid"] == .integer(3))
        #expect(json["payload"]?["kernel"] == .string("/run/y/kernel"))
        #expect(json["something_new"]?["x"] == .integer(1))
        #expect(json["landlock_enable"] == .bool(false) && json["landlock_rules"] == nil)
        let error = #expect(throws: AgentError.self) {
            try CloudHypervisorSnapshot.adapt(saved, to: try self.machine { $0.card = nil }, files, sandbox: nil)
        }
        #expect(error?.code == "snapshot_unreadable")
    }
}

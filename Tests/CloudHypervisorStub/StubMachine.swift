public import Foundation
import Glibc

/// An answer of the stub's.
public struct StubAnswer: Sendable {
    public var status: Int
    public var body: Data

    public init(status: Int, body: Data) {
        self.status = status
        self.body = body
    }

    static let done = StubAnswer(status: 204, body: Data())

    static func value(_ value: JSON) throws -> StubAnswer { StubAnswer(status: 200, body: try value.data) }

    /// An error as recent versions write it: from the general to the cause.
    static func error(_ status: Int = 500, _ words: String...) -> StubAnswer {
        let body = (try? JSON.array((["Error from API"] + words).map(JSON.string)).data) ?? Data()
        return StubAnswer(status: status, body: body)
    }
}

/// The states of a machine, its files and its locks: what of Cloud Hypervisor can be had without KVM.
///
/// Used by one thread.
public final class StubMachine {
    /// What the machine needs of the process around it.
    public struct Host {
        /// Makes a unix socket that listens.
        public var listen: (_ path: String, _ isConsole: Bool) throws -> Void
        public var writeConsole: (String) -> Void
        public var report: (_ source: String, _ event: String, _ properties: [String: String]?) -> Void
        public var exit: (Int32) -> Never
        public var after: (_ milliseconds: Int, _ body: @escaping () -> Void) -> Void

        public init(
            listen: @escaping (String, Bool) throws -> Void,
            writeConsole: @escaping (String) -> Void,
            report: @escaping (String, String, [String: String]?) -> Void,
            exit: @escaping (Int32) -> Never,
            after: @escaping (Int, @escaping () -> Void) -> Void
        ) {
            self.listen = listen
            self.writeConsole = writeConsole
            self.report = report
            self.exit = exit
            self.after = after
        }
    }

    /// F_OFD_SETLK (fcntl(2)), which Swift does not show.
    private static let setOpenFileLock: Int32 = 37
    private static let memory = Data((0..<(1 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31) })

    private let plan: Plan
    private let host: Host
    private var config: JSON?
    private var state = "Created"
    private var tree: [String: JSON] = [:]
    private var locks: [String: Int32] = [:]

    public init(_ plan: Plan, _ host: Host) {
        self.plan = plan
        self.host = host
    }

    public func handle(_ action: String, _ body: JSON) throws -> StubAnswer {
        switch action {
        case "vmm.ping":
            return try .value(
                .object(["version": .string(plan.version), "pid": .integer(Int(getpid()))])
            )
        case "vm.create": return try create(body)
        case "vm.restore": return try restore(body)
        default: break
        }
        guard let config else { return .error(404, "The VM is not created") }
        switch action {
        case "vm.info":
            return try .value(
                .object(["config": config, "state": .string(state), "device_tree": .object(tree)])
            )
        case "vm.boot": return boot(config)
        default: break
        }
        guard state == "Running" || state == "Paused" else { return .error(500, "The VM is not running") }
        switch action {
        case "vm.pause": return move(to: "Paused", "pausing", "paused")
        case "vm.resume": return move(to: "Running", "resuming", "resumed")
        case "vm.snapshot": return try snapshot(config, body)
        case "vm.counters": return try .value(counters)
        case "vm.power-button":
            powerOff()
            return .done
        case "vm.resize": return resize(config, body)
        case "vm.add-disk": return try add(body, to: "disks")
        case "vm.add-net": return try add(body, to: "net")
        case "vm.remove-device": return remove(body["id"]?.text ?? "")
        default: return .error(404, "the stub does not do \(action)")
        }
    }

    /// The guest asks for a reset.
    public func reset() {
        host.report("vm", "rebooting", nil)
        guard let kernel = config?["payload"]?["kernel"]?.text, access(kernel, R_OK) == 0 else {
            FileHandle.standardError.write(Data("Error rebooting the VM: Cannot open the kernel file\n".utf8))
            host.exit(1)
        }
        host.report("vm", "rebooted", nil)
    }

    /// The guest's kernel panics.
    public func panic() {
        host.report("guest", "panic", ["event": "panic"])
    }

    private func powerOff() {
        for event in ["shutdown", "deleted"] { host.report("vm", event, nil) }
        host.report("vmm", "shutdown", nil)
        host.exit(0)
    }

    private func create(_ body: JSON) throws -> StubAnswer {
        guard config == nil else { return .error(500, "The VM could not be created", "VM is already created") }
        if let console = body["serial"]?["socket"]?.text { try host.listen(console, true) }
        config = body
        return .done
    }

    private func boot(_ config: JSON) -> StubAnswer {
        host.report("vm", "booting", nil)
        for name in ["kernel", "initramfs"] {
            guard let path = config["payload"]?[name]?.text, access(path, R_OK) == 0 else {
                let path = config["payload"]?[name]?.text ?? "nil"
                return .error(500, "The VM could not boot", "Cannot open the \(name) file \(path)")
            }
        }
        if let refusal = plugEverything(config) { return refusal }
        state = "Running"
        host.report("vm", "booted", nil)
        host.writeConsole(plan.greeting)
        switch plan.guest {
        case .waits: break
        case .powersOff: host.after(50) { self.powerOff() }
        case .resets: host.after(50) { self.reset() }
        case .panics: host.after(50) { self.panic() }
        }
        return .done
    }

    private func plugEverything(_ config: JSON) -> StubAnswer? {
        for disk in config["disks"]?.elements ?? [] {
            if let refusal = lock(disk) { return .error(500, "The VM could not boot", refusal.0, refusal.1) }
        }
        if let path = config["vsock"]?["socket"]?.text {
            do { try host.listen(path, false) } catch { return .error(500, "Cannot create vsock", "\(error)") }
        }
        let devices = (config["disks"]?.elements ?? []) + (config["net"]?.elements ?? [])
        for id in devices.compactMap({ $0["id"]?.text }) { tree[id] = .object(["id": .string(id)]) }
        return nil
    }

    /// Takes the lock that Cloud Hypervisor takes of a disk.
    private func lock(_ disk: JSON) -> (String, String)? {
        guard let path = disk["path"]?.text, let id = disk["id"]?.text else { return ("Invalid disk", "no path") }
        let isReadOnly = disk["readonly"]?.isTrue == true
        let descriptor = open(path, (isReadOnly ? O_RDONLY : O_RDWR) | O_CLOEXEC)
        guard descriptor >= 0 else { return ("Cannot open disk path", "\(path): \(String(cString: strerror(errno)))") }
        var lock = flock()
        lock.l_type = Int16(isReadOnly ? F_RDLCK : F_WRLCK)
        lock.l_whence = Int16(SEEK_SET)
        guard fcntl(descriptor, Self.setOpenFileLock, &lock) == 0 else {
            close(descriptor)
            return (
                "Error locking disk images: Another instance likely holds a lock",
                "Failed to get Write lock for disk image: \(path)"
            )
        }
        locks[id] = descriptor
        return nil
    }

    private func move(to next: String, _ begins: String, _ ends: String) -> StubAnswer {
        host.report("vm", begins, nil)
        guard state != next else {
            return .error(500, "The VM could not change its state", "InvalidStateTransition(\(state), \(next))")
        }
        state = next
        host.report("vm", ends, nil)
        return .done
    }

    private func snapshot(_ config: JSON, _ body: JSON) throws -> StubAnswer {
        guard state == "Paused" else { return .error(500, "The VM could not be snapshotted", "not paused") }
        guard let directory = Self.path(body["destination_url"]) else { return .error(400, "no file URL") }
        host.report("vm", "snapshotting", nil)
        let state = JSON.object(["devices": .array(tree.keys.sorted().map(JSON.string))])
        try config.data.write(to: directory.appending(path: "config.json"))
        try state.data.write(to: directory.appending(path: "state.json"))
        try Self.memory.write(to: directory.appending(path: "memory-ranges"))
        host.report("vm", "snapshotted", nil)
        return .done
    }

    private func restore(_ body: JSON) throws -> StubAnswer {
        guard config == nil else { return .error(500, "VM is already created") }
        guard let directory = Self.path(body["source_url"]) else { return .error(400, "no file URL") }
        host.report("vm", "restoring", nil)
        func read(_ name: String) -> Data? { try? Data(contentsOf: directory.appending(path: name)) }
        guard let config = read("config.json").flatMap({ try? JSON($0) }),
            let state = read("state.json").flatMap({ try? JSON($0) })
        else { return .error(500, "The VM could not be restored", "Error deserialising VM snapshot") }
        guard read("memory-ranges") == Self.memory else {
            return .error(500, "The VM could not be restored", "Memory manager error", "failed to fill whole buffer")
        }
        let saved = Set(state["devices"]?.elements.compactMap(\.text) ?? [])
        if let console = config["serial"]?["socket"]?.text { try host.listen(console, true) }
        if let refusal = plugEverything(config) { return refusal }
        guard saved == Set(tree.keys) else { return .error(500, "The VM could not be restored", "other devices") }
        self.config = config
        self.state = "Paused"
        host.report("vm", "restored", nil)
        return .done
    }

    private func resize(_ config: JSON, _ body: JSON) -> StubAnswer {
        if let vcpus = body["desired_vcpus"]?.integer {
            guard vcpus <= config["cpus"]?["max_vcpus"]?.integer ?? 0 else {
                return .error(500, "The VM could not be resized", "Requested vCPUs exceed maximum")
            }
            self.config?["cpus"]?["boot_vcpus"] = .integer(vcpus)
        }
        if let memory = body["desired_ram"]?.integer {
            let size = config["memory"]?["size"]?.integer ?? 0
            let room = config["memory"]?["hotplug_size"]?.integer ?? 0
            guard (size...(size + room)).contains(memory), (memory - size) % (2 << 20) == 0 else {
                return .error(500, "The VM could not be resized", "InsufficientHotplugRam")
            }
        }
        host.report("vm", "resized", nil)
        return .done
    }

    private func add(_ body: JSON, to list: String) throws -> StubAnswer {
        guard let id = body["id"]?.text, tree[id] == nil else {
            return .error(500, "Identifier \(body["id"]?.text ?? "nil") is not unique")
        }
        if list == "disks", let refusal = lock(body) {
            return .error(500, "The disk could not be added", refusal.0, refusal.1)
        }
        let present = config?[list]?.elements ?? []
        config?[list] = .array(present + [body])
        tree[id] = .object(["id": .string(id)])
        return try .value(.object(["id": .string(id), "bdf": .string("0000:00:08.0")]))
    }

    private func remove(_ id: String) -> StubAnswer {
        guard tree[id] != nil else { return .error(404, "The device could not be removed", "Unknown device \(id)") }
        for list in ["disks", "net"] {
            guard let left = config?[list]?.elements.filter({ $0["id"]?.text != id }) else { continue }
            config?[list] = .array(left)
        }
        if let delay = plan.unplugMilliseconds {
            host.after(delay) {
                self.tree[id] = nil
                if let descriptor = self.locks.removeValue(forKey: id) { close(descriptor) }
                self.host.report("vm", "device-removed", ["id": id])
            }
        }
        return .done
    }

    private var counters: JSON {
        let numbers: JSON = .object([
            "read_bytes": .integer(4096), "write_bytes": .integer(512), "read_ops": .integer(2),
            "write_ops": .integer(1),
        ])
        let packets: JSON = .object(["rx_bytes": .integer(1), "tx_bytes": .integer(2)])
        let counted = tree.keys.map { ($0, $0.contains("disk-") ? numbers : packets) }
        return .object(Dictionary(uniqueKeysWithValues: counted))
    }

    private static func path(_ url: JSON?) -> URL? {
        guard let text = url?.text, text.hasPrefix("file://") else { return nil }
        return URL(filePath: String(text.dropFirst("file://".count)))
    }
}

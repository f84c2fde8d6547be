import CLinux
import Glibc
import SystemPackage

/// Whether an ordinary guest can run under KVM here.
enum KVMProbe {
    /// What was found; `reason` says in a sentence why it is of no use.
    enum Finding: Equatable {
        case usable
        case unusable(reason: String)
    }

    /// Looks at the processor's flags and makes a virtual machine.
    ///
    /// Blocks for a moment.
    static func run() -> Finding {
        var opened: Int32 = 0
        let made = clinux_kvm_probe(&opened) == 0
        let error = Errno(rawValue: errno)
        let flags = processorFlags(ProcessTable.read("/proc/cpuinfo", limit: 1 << 16) ?? [])
        return judge(flags: flags, deviceOpened: opened != 0, machineMade: made, error: error)
    }

    /// The decision by itself.
    ///
    /// A device that opens proves nothing: on some nested and paravirtual hosts KVM_CREATE_VM succeeds too, and guests
    /// then hang. Without `svm` or `vmx` there is no hardware for it.
    static func judge(flags: Set<Substring>, deviceOpened: Bool, machineMade: Bool, error: Errno) -> Finding {
        guard deviceOpened else { return .unusable(reason: "/dev/kvm cannot be opened: \(error)") }
        guard !flags.isDisjoint(with: ["svm", "vmx"]) else {
            return .unusable(
                reason: "/dev/kvm opens, but the processor has neither svm nor vmx, so no ordinary guest runs under it"
            )
        }
        guard machineMade else { return .unusable(reason: "/dev/kvm opens, but makes no virtual machine: \(error)") }
        return .usable
    }

    /// The flags of the first processor in /proc/cpuinfo.
    static func processorFlags(_ cpuinfo: [UInt8]) -> Set<Substring> {
        let text = String(decoding: cpuinfo, as: UTF8.self)
        let line = text.split(separator: "\n").first { $0.hasPrefix("flags") }
        guard let line, let colon = line.firstIndex(of: ":") else { return [] }
        return Set(line[line.index(after: colon)...].split(separator: " "))
    }
}

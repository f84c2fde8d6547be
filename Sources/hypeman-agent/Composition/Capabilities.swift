import AgentCore
import CLinux
import Glibc

/// What this process may do of that which only root may (capabilities(7)).
struct Capabilities: Equatable {
    /// What the process itself may do.
    var own: Set<ProcessCapability>
    /// What the programs that it starts may do.
    var passedOn: Set<ProcessCapability>

    /// What the bridge network needs; without one the agent needs none.
    static let needed: [ProcessCapability] = [.networkAdministration, .privilegedPorts]

    /// Lets the programs that this process starts do what it may do itself.
    ///
    /// A capability that comes from a file (setcap(8)) ends with the process: `ip`, `iptables` and dnsmasq would have
    /// none. Only for the calling thread and those that it starts. Does nothing for root, whose programs are root's.
    static func passOn() {
        guard geteuid() != 0 else { return }
        // What failed is found again by `check`, and by the first tool that is refused.
        _ = clinux_raise_ambient(Set(needed).mask)
    }

    /// The calling thread's; nil if the kernel does not tell.
    static func current() -> Capabilities? {
        var sets = clinux_capability_sets()
        guard clinux_get_capabilities(&sets) == 0 else { return nil }
        return Capabilities(sets, isRoot: geteuid() == 0)
    }

    init(own: Set<ProcessCapability>, passedOn: Set<ProcessCapability>) {
        self.own = own
        self.passedOn = passedOn
    }

    private init(_ sets: clinux_capability_sets, isRoot: Bool) {
        own = Self.capabilities(in: sets.effective)
        passedOn = Self.capabilities(in: isRoot ? sets.permitted : sets.ambient)
    }

    private static func capabilities(in mask: UInt64) -> Set<ProcessCapability> {
        Set(ProcessCapability.allCases.filter { mask & $0.bit != 0 })
    }
}

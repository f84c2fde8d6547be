public import AgentCore
public import SystemPackage

/// How QEMU is found and run.
public struct QEMUConfiguration: Sendable, Hashable {
    /// The program; nil: `qemu-system-x86_64` from PATH.
    public var executable: FilePath?
    public var accelerator: AcceleratorChoice

    public init(executable: FilePath? = nil, accelerator: AcceleratorChoice = .auto) {
        self.executable = executable
        self.accelerator = accelerator
    }
}

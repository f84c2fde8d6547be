import AgentCore

/// The words that every guest's kernel is started with (Documentation/admin-guide/kernel-parameters.txt of Linux).
enum KernelCommandLine {
    static func make(_ machine: MachineDescription, accelerator: Accelerator) -> String {
        // panic and reboot: a kernel that dies resets the machine at once, by a triple fault, and so ends the run.
        var words = ["console=ttyS0", "panic=-1", "reboot=t", "quiet"]
        // Shorter grace periods while there is little to wait for, and no self-test of ciphers at each boot.
        words += ["rcupdate.rcu_expedited=1", "cryptomgr.notests"]
        // Relocating the kernel costs an emulated boot some 0.2 s; under KVM it costs nothing, and stays.
        if accelerator == .tcg { words.append("nokaslr") }
        return (words + machine.kernelArguments).joined(separator: " ")
    }
}

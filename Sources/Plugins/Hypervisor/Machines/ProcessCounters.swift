import AgentCore
import Glibc

/// What a VMM's process has used, from /proc.
enum ProcessCounters {
    /// Reads them; nil if the process is gone.
    ///
    /// Blocks for microseconds.
    static func read(_ identity: ProcessIdentity) -> MachineCounters? {
        guard let memory = ProcessTable.memory(of: identity.pid), let status = ProcessTable.status(of: identity.pid),
            status.startTime == identity.startTime, !status.isDead
        else { return nil }
        let ticksPerSecond = Int64(sysconf(Int32(_SC_CLK_TCK)))
        let ticks = Int64(clamping: status.cpuTicks)
        let (seconds, rest) = ticks.quotientAndRemainder(dividingBy: ticksPerSecond)
        return MachineCounters(
            cpuTime: .seconds(seconds) + .milliseconds(rest * 1000 / ticksPerSecond),
            residentMemory: ByteSize(bytes: memory.resident),
            virtualMemory: ByteSize(bytes: memory.virtual)
        )
    }
}

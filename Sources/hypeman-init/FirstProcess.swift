import CInit
import Glibc
import GuestAgent
import GuestProtocol
import NIOCore

/// What PID 1 does, from the kernel's first call to the machine's end.
enum FirstProcess {
    /// How long a host that is there may take to hear why the boot failed.
    private static let fatalPatienceMilliseconds = 5_000
    private static let shutdownPatienceMilliseconds = 2_000
    /// What container engines report when their own part failed.
    private static let fatalCode = 125

    static func run() -> Never {
        var channel: Channel?
        do throws(BootFailure) {
            try boot(&channel)
        } catch {
            Console.write("fatal: \(error.message)")
            if let channel {
                channel.agent.reportExit(
                    GuestExit(code: fatalCode, message: "the guest could not start: \(error.message)")
                )
                channel.waitForAcknowledgement(milliseconds: fatalPatienceMilliseconds)
                channel.close(within: shutdownPatienceMilliseconds)
            }
        }
        sync()
        hypeman_power_off()
        // The kernel does not come back from powering off.
        while true { pause() }
    }

    private static func boot(_ started: inout Channel?) throws(BootFailure) {
        let modules = KernelModules()
        try modules.load(.boot)
        let device = try Channel.device()
        if device == .vsock { try modules.load(.vsock) }
        let configuration = try GuestConfiguration.load()
        // Under systemd the agent is a process of its own, which opens the channel anew.
        if configuration.mode == .exec { started = try Channel(configuration, over: device) }
        let root: RootFileSystem
        do throws(BootFailure) {
            root = try RootFileSystem(configuration)
            if configuration.network != nil { try modules.load(.network) }
            try NetworkSetup.configureInterfaces(configuration.network)
            let initrd = hypeman_open("/", O_RDONLY | O_DIRECTORY)
            if configuration.mode == .systemd { try modules.load(.later) }
            try root.enter(mode: configuration.mode)
            NetworkSetup.writeFiles(configuration)
            for volume in configuration.volumes ?? [] { try VolumeDisk.mount(volume) }
            if configuration.mode == .systemd {
                try SystemdAgent.handOver(configuration, initrd: "/proc/self/fd/\(initrd)")
            }
            Processors.followAdditions()
            // The program first: a host that is answered while the guest still boots takes the processor from the boot.
            started?.agent.acceptCommands()
            started?.agent.startProgram()
            started?.listen()
            do throws(BootFailure) {
                try modules.load(.later, below: "/proc/self/fd/\(initrd)")
            } catch {
                // Nothing that the program was promised depends on these.
                Console.write(error.message)
            }
            removeInitrd("/proc/self/fd/\(initrd)")
            close(initrd)
        } catch {
            // The host hears of it through the channel, also where that was not open yet.
            if started == nil { started = try Channel(configuration, over: device) }
            started?.listen()
            throw error
        }
        guard let channel = started else { return }
        superviseUntilAcknowledged(channel.agent)
        channel.close(within: shutdownPatienceMilliseconds)
        hypeman_kill_all()
        hypeman_reap_remaining(Int32(shutdownPatienceMilliseconds))
        MountTable.unmountDisks()
        root.makeReadOnly()
    }

    /// Reaps every process that ends, until the host has stored the program's exit.
    private static func superviseUntilAcknowledged(_ agent: GuestAgent) {
        let acknowledged = Signal()
        agent.exitAcknowledged.whenSuccess {
            acknowledged.raise()
            // Wakes the loop below.
            kill(getpid(), SIGTERM)
        }
        while true {
            let signal = hypeman_wait_signal()
            while true {
                var status: Int32 = 0
                let pid = hypeman_reap(&status)
                guard pid > 0 else { break }
                agent.childEnded(pid, status: status)
            }
            guard signal == SIGTERM else { continue }
            if acknowledged.isRaised { return }
            // Somebody in the guest wants it to end.
            agent.stopProgram()
        }
    }

    /// Gives back the memory of what the initrd brought along.
    private static func removeInitrd(_ root: String) {
        func remove(_ path: String, depth: Int) {
            guard depth < 16 else { return }
            var status = stat()
            guard lstat(path, &status) == 0 else { return }
            if status.st_mode & S_IFMT == S_IFREG { unlink(path) }
            if status.st_mode & S_IFMT == S_IFDIR {
                for name in SmallFile.names(in: path) { remove("\(path)/\(name)", depth: depth + 1) }
            }
        }
        for name in ["init", "modules.list", "modules"] { remove("\(root)/\(name)", depth: 0) }
    }
}

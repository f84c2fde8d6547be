import CInit
import Glibc
import GuestAgent
import GuestProtocol

/// A guest whose program is systemd: it becomes PID 1, and the agent one of its services.
enum SystemdAgent {
    private static let directory = "/run/hypeman"
    private static let executable = "/run/hypeman/hypeman-init"
    private static let acknowledgementPatienceMilliseconds = 2_000

    /// Without default dependencies, so that it is there early and until the last process is killed: a guest that hangs
    /// while it starts or stops is one that somebody wants to look into.
    private static let unit = """
        [Unit]
        Description=Hypeman guest agent
        DefaultDependencies=no

        [Service]
        ExecStart=\(executable) agent
        Restart=always
        RestartSec=1
        KillMode=process
        OOMScoreAdjust=-900
        TasksMax=infinity
        StandardInput=null

        """

    /// Replaces this process, PID 1, by the program.
    ///
    /// - Parameters:
    ///   - configuration: What the host wants.
    ///   - initrd: Where the initrd's root is, with this executable.
    /// - Throws: ``BootFailure`` if it could not; otherwise it does not return.
    static func handOver(_ configuration: GuestConfiguration, initrd: String) throws(BootFailure) -> Never {
        let units = "/run/systemd/system"
        for path in [directory, "/run/systemd", units, units + "/sysinit.target.wants"] { mkdir(path, 0o755) }
        try copyExecutable(from: initrd + "/init")
        try BootFailure.check(
            SmallFile.replace(units + "/hypeman-agent.service", with: unit),
            "cannot write the agent's unit"
        )
        symlink("../hypeman-agent.service", units + "/sysinit.target.wants/hypeman-agent.service")
        maskConsoleLogins(in: units)
        let arguments = configuration.program.arguments
        guard let program = arguments.first else { throw BootFailure(message: "no program to run") }
        let defaults = ["PATH=\(defaultPath)", "HOME=/", "TERM=linux"]
        let result = exec(program, arguments, configuration.program.environment + defaults)
        throw BootFailure(message: "cannot hand over to \(program): \(String(cString: strerror(-result)))")
    }

    /// The agent as a service.
    ///
    /// Ends when systemd ends it.
    static func run() -> Never {
        hypeman_block_signals()
        let channel: Channel
        do throws(BootFailure) {
            channel = try Channel(try GuestConfiguration.load(), over: try Channel.device())
        } catch {
            Console.write("fatal: \(error.message)")
            exit(1)
        }
        Processors.followAdditions()
        channel.agent.acceptCommands()
        channel.agent.adoptProgram(pid: 1)
        channel.listen()
        while true {
            let signal = hypeman_wait_signal()
            while true {
                var status: Int32 = 0
                let pid = hypeman_reap(&status)
                guard pid > 0 else { break }
                channel.agent.childEnded(pid, status: status)
            }
            guard signal == SIGTERM else { continue }
            channel.agent.reportExit(GuestExit(code: 0, message: "the guest has shut down"))
            channel.waitForAcknowledgement(milliseconds: acknowledgementPatienceMilliseconds)
            channel.close(within: acknowledgementPatienceMilliseconds)
            exit(0)
        }
    }

    private static let defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

    private static func exec(_ program: String, _ arguments: [String], _ environment: [String]) -> Int32 {
        var arguments: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        var environment: [UnsafeMutablePointer<CChar>?] = environment.map { strdup($0) } + [nil]
        return hypeman_exec(program, &arguments, &environment)
    }

    /// Keeps systemd-getty-generator(8) from a login on the kernel's console, which is a log that nobody types into.
    ///
    /// In an image without udev its device never appears to systemd, which would wait 90 s for it.
    private static func maskConsoleLogins(in units: String) {
        for name in (SmallFile.line("/sys/class/tty/console/active") ?? "").split(separator: " ") {
            symlink("/dev/null", "\(units)/serial-getty@\(name).service")
        }
    }

    private static func copyExecutable(from source: String) throws(BootFailure) {
        let input = hypeman_open(source, O_RDONLY)
        try BootFailure.check(input, "cannot read \(source)")
        defer { close(input) }
        let output = open(executable, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o755)
        guard output >= 0 else {
            throw BootFailure(message: "cannot write \(executable): \(String(cString: strerror(errno)))")
        }
        defer { close(output) }
        while true {
            let chunk = SmallFile.read(descriptor: input, limit: 1 << 20)
            if chunk.isEmpty { return }
            let written = chunk.withUnsafeBytes { write(output, $0.baseAddress, $0.count) }
            guard written == chunk.count else { throw BootFailure(message: "no room in /run for the agent") }
        }
    }
}

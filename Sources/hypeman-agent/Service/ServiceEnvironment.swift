import Glibc

/// What systemd hands to a service that it starts (sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3)).
struct ServiceEnvironment: Sendable, Hashable {
    /// Where notifications go: a path, or `@` and an abstract name.
    var notifySocket: String?
    /// How long the service may stay silent.
    var watchdogInterval: Duration?
    /// Sockets that listen already.
    var sockets: [CInt] = []

    /// The first descriptor that is passed (SD_LISTEN_FDS_START).
    private static let firstDescriptor: CInt = 3
    private static let names = [
        "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES",
    ]

    /// This process's, taken out of its environment when it is first asked for.
    ///
    /// ``Program`` asks before there is a second thread, which setenv(3) demands; programs that the agent runs do not
    /// inherit any of it.
    static let own: ServiceEnvironment = {
        var values: [String: String] = [:]
        for name in names {
            values[name] = getenv(name).map { String(cString: $0) }
            unsetenv(name)
        }
        let environment = ServiceEnvironment(values, process: getpid())
        for descriptor in environment.sockets { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
        return environment
    }()

    /// Reads variables; what is meant for another process, or does not parse, is left out.
    init(_ values: [String: String], process: pid_t) {
        if let socket = values["NOTIFY_SOCKET"], let first = socket.first, first == "/" || first == "@" {
            notifySocket = socket
        }
        func isOurs(_ name: String) -> Bool { values[name].map { Int32($0) == process } ?? false }
        // Without WATCHDOG_PID it is for whoever has the variable.
        if values["WATCHDOG_PID"] == nil || isOurs("WATCHDOG_PID"),
            let microseconds = values["WATCHDOG_USEC"].flatMap({ Int64($0) }), microseconds > 0
        {
            watchdogInterval = .microseconds(microseconds)
        }
        if isOurs("LISTEN_PID"), let count = values["LISTEN_FDS"].flatMap({ CInt($0) }), (1...64).contains(count) {
            sockets = Array(Self.firstDescriptor..<Self.firstDescriptor + count)
        }
    }
}

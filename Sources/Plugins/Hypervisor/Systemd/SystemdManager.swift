import AgentCore
import DBus
import Logging

/// systemd as its bus interface shows it (org.freedesktop.systemd1(5)), as far as units of VMs need it.
///
/// What the agent's user may ask for is in the package's polkit rule: start, stop, kill, ref and set-property, of those units
/// alone.
struct SystemdManager: Sendable {
    private static let name = "org.freedesktop.systemd1"
    private static let managerInterface = "org.freedesktop.systemd1.Manager"
    private static let serviceInterface = "org.freedesktop.systemd1.Service"
    private static let unitInterface = "org.freedesktop.systemd1.Unit"
    private static let propertiesInterface = "org.freedesktop.DBus.Properties"

    /// How long a unit may take to start or stop; its own limits are shorter.
    private static let jobDeadline = Duration.seconds(90)

    private let connection: Connection
    private let manager: ObjectPath

    init(connection: Connection) throws {
        self.connection = connection
        guard let manager = ObjectPath("/org/freedesktop/systemd1") else {
            throw AgentError(.internal, "systemd's object path is not one")
        }
        self.manager = manager
    }

    // MARK: Units

    /// Starts a unit and waits until its program is executed, or was.
    ///
    /// The unit is kept in systemd's memory until ``release(_:)``, with how it ended.
    ///
    /// - Throws: ``AgentError`` `unavailable` with what systemd says.
    func start(_ unit: String) async throws {
        try await openConnection()
        // Without a subscriber systemd does not tell of jobs.
        do {
            _ = try await call("Subscribe", [])
        } catch let error as DBusError where error.name == "org.freedesktop.systemd1.AlreadySubscribed" {}
        let ended = try await connection.signals(
            MatchRule(sender: Self.name, path: manager, interface: Self.managerInterface, member: "JobRemoved")
        )
        let reply = try await call("StartUnit", [.string(unit), .string("replace")])
        guard case .objectPath(let job)? = reply.first else { throw unexpected("StartUnit") }
        try await hold(unit)
        let result = try await withDeadline(Self.jobDeadline, "systemd's start of \(unit)") {
            for try await signal in ended where signal.arguments.count == 4 && signal.arguments[1] == .objectPath(job) {
                if case .string(let result) = signal.arguments[3] { return result }
            }
            throw AgentError(.unavailable, "the connection to systemd was lost while it started \(unit)")
        }
        // A program that ends at once does so before its unit counts as started, which is not systemd's failure.
        if result == "failed", let state = try await state(of: unit), state.exit != nil { return }
        guard result == "done" else {
            throw AgentError(
                .unavailable,
                code: "unit_failed",
                "systemd could not start \(unit) (\(result)): journalctl --unit=\(unit) says why"
            )
        }
    }

    /// Keeps a unit in memory when it has ended.
    ///
    /// - Throws: If there is no such unit any more.
    func hold(_ unit: String) async throws { _ = try await call("RefUnit", [.string(unit)]) }

    /// Lets systemd forget a unit that has ended; one that was forgotten is no error.
    func release(_ unit: String) async { _ = try? await call("UnrefUnit", [.string(unit)]) }

    /// Sends a signal to the unit's main process.
    func kill(_ unit: String, signal: Int32) async throws {
        _ = try await call("KillUnit", [.string(unit), .string("main"), .int32(signal)])
    }

    /// Sets what a unit may use, until its end.
    func limit(_ unit: String, _ limits: ProcessLimits) async throws {
        var properties: [(String, Value)] = []
        if let memory = limits.memory {
            properties.append(("MemoryMax", .uint64(UInt64(memory.bytes))))
            // What is swapped out is not gone: the limit counts both.
            properties.append(("MemorySwapMax", .uint64(0)))
        }
        if let processors = limits.processors {
            properties.append(("CPUQuotaPerSecUSec", .uint64(UInt64(processors * 1_000_000))))
        }
        guard !properties.isEmpty else { return }
        let entries = properties.map { Value.structure([.string($0.0), .variant($0.1)]) }
        _ = try await call("SetUnitProperties", [.string(unit), .boolean(true), .array(element: "(sv)", entries)])
    }

    /// The units that run and fit one of the patterns.
    func units(_ patterns: [String]) async throws -> [String] {
        let reply = try await call(
            "ListUnitsByPatterns",
            [
                ["active", "activating", "deactivating", "reloading"].dbusValue, patterns.dbusValue,
            ]
        )
        guard case .array(_, let rows)? = reply.first else { throw unexpected("ListUnitsByPatterns") }
        return rows.compactMap { row in
            guard case .structure(let fields) = row, case .string(let name)? = fields.first else { return nil }
            return name
        }
    }

    /// What systemd knows of a unit; nil if it has none of that name in memory.
    func state(of unit: String) async throws -> UnitState? {
        let path: ObjectPath
        do {
            guard case .objectPath(let found)? = try await call("GetUnit", [.string(unit)]).first else {
                throw unexpected("GetUnit")
            }
            path = found
        } catch let error as DBusError where error.name == "org.freedesktop.systemd1.NoSuchUnit" {
            return nil
        }
        do {
            return UnitState(
                unit: try await properties(of: path, Self.unitInterface),
                service: try await properties(of: path, Self.serviceInterface)
            )
        } catch let error as DBusError where error.is(.unknownObject) || error.is(.unknownMethod) {
            // It was forgotten between the two calls.
            return nil
        }
    }

    private func properties(of path: ObjectPath, _ interface: String) async throws -> [String: Value] {
        let reply = try await connection.call(
            "GetAll",
            of: Self.propertiesInterface,
            at: path,
            Self.name,
            [.string(interface)]
        )
        guard case .dictionary(_, _, let entries)? = reply.first else { throw unexpected("GetAll") }
        var properties: [String: Value] = [:]
        for entry in entries {
            if case .string(let name) = entry.key, case .variant(let value) = entry.value { properties[name] = value }
        }
        return properties
    }

    private func call(_ member: String, _ arguments: [Value]) async throws -> [Value] {
        try await openConnection()
        return try await connection.call(member, of: Self.managerInterface, at: manager, Self.name, arguments)
    }

    /// Connects, if that is not done, or the bus has gone away and come back since.
    private func openConnection() async throws {
        do {
            try await connection.open()
        } catch let error as DBusError {
            throw AgentError(.unavailable, "the system bus cannot be reached, which leads to systemd", cause: error)
        }
    }

    private func unexpected(_ member: String) -> AgentError {
        AgentError(.unavailable, "systemd's answer to \(member) is not what its documentation says")
    }
}

/// What systemd knows of a service.
struct UnitState: Sendable, Hashable {
    /// `active`, `activating`, `deactivating`, `inactive`, `failed`.
    var activity = ""
    /// Which start of the unit it is, as hexadecimal digits; empty before the first.
    var invocation = ""
    /// 0 while there is none.
    var mainProcess: Int32 = 0
    /// That of the present or last start.
    var lastProcess: Int32 = 0
    /// `CLD_EXITED`, `CLD_KILLED` or `CLD_DUMPED` once it has ended; 0 before.
    var exitCode: Int32 = 0
    /// An exit code or a signal.
    var exitStatus: Int32 = 0
    /// `success`, `exit-code`, `signal`, `oom-kill` and others.
    var result = ""

    init() {}

    init(unit: [String: Value], service: [String: Value]) {
        func text(_ value: Value?) -> String { value.flatMap { String($0) } ?? "" }
        func process(_ name: String) -> Int32 {
            service[name].flatMap { UInt32($0) }.map { Int32(clamping: $0) } ?? 0
        }
        activity = text(unit["ActiveState"])
        if case .bytes(let bytes)? = unit["InvocationID"] {
            invocation = bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        }
        mainProcess = process("MainPID")
        lastProcess = process("ExecMainPID")
        exitCode = service["ExecMainCode"].flatMap { Int32($0) } ?? 0
        exitStatus = service["ExecMainStatus"].flatMap { Int32($0) } ?? 0
        result = text(service["Result"])
    }

    /// Whether nothing of it runs any more.
    var isOver: Bool { activity == "inactive" || activity == "failed" }

    /// How the main process ended; nil if it has not.
    var exit: ProcessExit? {
        guard exitCode != 0 else { return nil }
        if result == "oom-kill" { return .outOfMemory }
        // CLD_EXITED.
        return exitCode == 1 ? .code(Int(exitStatus)) : .signal(Int(exitStatus))
    }
}

import Glibc
import GuestProtocol

/// Everything that is needed to start a program, worked out from its description and the image's files.
struct LaunchPlan: Equatable {
    /// Where the program may be, in the order in which to try.
    var candidates: [String]
    var arguments: [String]
    var environment: [String]
    var directory: String
    var identity: UserDatabase.Identity

    /// Where programs are looked up when the environment has no PATH, as container engines do.
    static let defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

    /// Works out a plan.
    ///
    /// - Parameters:
    ///   - program: What to run.
    ///   - users: The image's users.
    ///   - hostname: For HOSTNAME.
    ///   - terminal: Whether it gets a terminal, and so TERM.
    /// - Throws: ``LaunchFailure`` if there is nothing to run, or no such user.
    init(
        _ program: GuestProgram,
        users: UserDatabase,
        hostname: String,
        terminal: Bool
    ) throws(LaunchFailure) {
        guard let name = program.arguments.first, !name.isEmpty else {
            throw LaunchFailure(code: 127, message: "no program to run: the image has no command and none was given")
        }
        do {
            identity = try users.identity(of: program.user)
        } catch {
            throw LaunchFailure(code: 126, message: error.message)
        }
        arguments = program.arguments
        directory = program.workingDirectory.isEmpty ? "/" : program.workingDirectory
        environment = LaunchPlan.merge(program.environment)
        var defaults = [
            "PATH=\(LaunchPlan.defaultPath)", "HOSTNAME=\(hostname)",
            "HOME=\(identity.home.flatMap { $0.isEmpty ? nil : $0 } ?? "/")",
        ]
        if terminal { defaults.append("TERM=xterm") }
        for entry in defaults where LaunchPlan.value(of: LaunchPlan.name(of: entry), in: environment) == nil {
            environment.append(entry)
        }
        if name.utf8.contains(UInt8(ascii: "/")) {
            candidates = [name]
        } else {
            let path = LaunchPlan.value(of: "PATH", in: environment) ?? LaunchPlan.defaultPath[...]
            candidates = path.split(separator: ":", omittingEmptySubsequences: false).map {
                // An empty entry is the current directory (POSIX, 8.3).
                $0.isEmpty ? "./\(name)" : "\($0)/\(name)"
            }
        }
    }

    /// Each name once, in the place where it came first, with the value that came last.
    ///
    /// Entries that are no assignment or contain a NUL are left out.
    static func merge(_ entries: [String]) -> [String] {
        var order: [Substring] = []
        var last: [Substring: String] = [:]
        for entry in entries where entry.utf8.contains(UInt8(ascii: "=")) && !entry.utf8.contains(0) {
            let name = LaunchPlan.name(of: entry)
            if name.isEmpty { continue }
            if last.updateValue(entry, forKey: name) == nil { order.append(name) }
        }
        return order.compactMap { last[$0] }
    }

    private static func name(of entry: String) -> Substring { entry.prefix { $0 != "=" } }

    private static func value(of name: Substring, in environment: [String]) -> Substring? {
        environment.first { LaunchPlan.name(of: $0) == name }.map { $0.dropFirst(name.count + 1) }
    }
}

/// Why a program could not be started, with the code that a shell would give for it.
struct LaunchFailure: Error, Equatable {
    var code: Int
    var message: String

    var exit: GuestExit { GuestExit(code: code, message: message) }
}

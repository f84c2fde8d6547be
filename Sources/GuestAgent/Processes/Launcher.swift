import CInit
import Glibc

/// Starts programs, and finds out why one could not be started.
enum Launcher {
    /// Starts a program with three descriptors, which stay open here.
    ///
    /// Returns once the program runs or has failed to; takes as long as the kernel's exec does.
    static func launch(
        _ plan: LaunchPlan,
        input: Int32,
        output: Int32,
        error: Int32,
        terminal: Bool
    ) throws(LaunchFailure) -> pid_t {
        makeDirectories(plan.directory)
        var pid: pid_t = 0
        var stage = HYPEMAN_SPAWN_CLONE
        let result = withCStrings(plan.candidates) { candidates in
            withCStrings(plan.arguments) { arguments in
                withCStrings(plan.environment) { environment in
                    plan.directory.withCString { directory in
                        plan.identity.groups.withUnsafeBufferPointer { groups in
                            candidates.withMemoryRebound(
                                to: UnsafePointer<CChar>?.self,
                                capacity: plan.candidates.count + 1
                            ) {
                                var request = hypeman_spawn(
                                    candidates: $0,
                                    arguments: arguments,
                                    environment: environment,
                                    directory: directory,
                                    uid: plan.identity.uid,
                                    gid: plan.identity.gid,
                                    groups: groups.baseAddress,
                                    group_count: groups.count,
                                    standard_input: input,
                                    standard_output: output,
                                    standard_error: error,
                                    terminal: terminal ? 1 : 0
                                )
                                return hypeman_spawn(&request, &pid, &stage)
                            }
                        }
                    }
                }
            }
        }
        guard result == 0 else { throw explain(plan, stage: stage, error: -result) }
        return pid
    }

    private static func explain(_ plan: LaunchPlan, stage: hypeman_spawn_stage, error: Int32) -> LaunchFailure {
        let reason = String(cString: strerror(error))
        switch stage {
        case HYPEMAN_SPAWN_EXEC: break
        case HYPEMAN_SPAWN_CWD:
            return LaunchFailure(code: 126, message: "cannot enter the working directory \(plan.directory): \(reason)")
        case HYPEMAN_SPAWN_USER:
            return LaunchFailure(code: 126, message: "cannot become user \(plan.identity.uid): \(reason)")
        default:
            return LaunchFailure(code: 126, message: "cannot start a process: \(reason)")
        }
        let name = plan.arguments[0]
        var status = stat()
        let found = plan.candidates.first { candidate in
            let path = candidate.hasPrefix("/") ? candidate : plan.directory + "/" + candidate
            return stat(path, &status) == 0
        }
        guard let found else {
            let place = name.contains("/") ? "no such file in the image" : "not found in the image's PATH"
            return LaunchFailure(code: 127, message: "\(name): \(place)")
        }
        switch error {
        case EACCES where status.st_mode & S_IFMT == S_IFDIR:
            return LaunchFailure(code: 126, message: "\(found): is a directory")
        case EACCES where status.st_mode & 0o111 == 0:
            return LaunchFailure(code: 126, message: "\(found): is not executable (mode \(octal(status.st_mode)))")
        case ENOENT, ENOTDIR, ELIBBAD:
            let interpreter = ProgramInterpreter.name(ofProgramAt: found)
            let missing =
                interpreter.map { "its interpreter \($0) is not in the image" } ?? "its interpreter is not in the image"
            return LaunchFailure(code: 126, message: "\(found): \(missing)")
        case ENOEXEC:
            return LaunchFailure(
                code: 126,
                message: "\(found): is neither a program for this machine nor a script with #!"
            )
        default:
            return LaunchFailure(code: 126, message: "\(found): \(reason)")
        }
    }

    private static func octal(_ mode: mode_t) -> String { "0" + String(mode & 0o7777, radix: 8) }

    /// As container engines do for a WORKDIR that is not there.
    ///
    /// What cannot be made shows when it is entered.
    private static func makeDirectories(_ path: String) {
        guard path.hasPrefix("/") else { return }
        var prefix = ""
        for component in path.split(separator: "/") {
            prefix += "/" + component
            mkdir(prefix, 0o755)
        }
    }
}

/// Calls `body` with a NULL-terminated array of C strings, valid only during the call.
func withCStrings<Result>(
    _ strings: [String],
    _ body: (UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> Result
) -> Result {
    var pointers = strings.map { strdup($0) } + [nil]
    defer { for pointer in pointers { free(pointer) } }
    return pointers.withUnsafeMutableBufferPointer { buffer in
        guard let base = buffer.baseAddress else { preconditionFailure("the array ends with nil, so it is not empty") }
        return body(base)
    }
}

import AgentCore
import Glibc
import SystemPackage

/// Finds programs as a shell does.
enum ExecutableSearch {
    /// The first directory of `path` that holds an executable file `name`.
    static func find(_ name: String, path: String?) -> FilePath? {
        let directories = (path ?? "/usr/local/bin:/usr/bin:/bin").split(separator: ":").map { FilePath(String($0)) }
        return directories.filter(\.isAbsolute).map { $0.appending(name) }.first(where: isExecutable)
    }

    /// Whether a path is a file that this process may execute.
    static func isExecutable(_ path: FilePath) -> Bool {
        var information = stat()
        guard stat(path.string, &information) == 0, information.st_mode & S_IFMT == S_IFREG else { return false }
        return access(path.string, X_OK) == 0
    }
}

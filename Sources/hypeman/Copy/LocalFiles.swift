import Foundation

/// The files on this side of a copy.
enum LocalFiles {
    /// What is at a path.
    ///
    /// - Parameters:
    ///   - path: A path here.
    ///   - followsLink: Whether a symbolic link stands for its target.
    /// - Returns: What is there; nothing is no error.
    /// - Throws: If that cannot be found out.
    static func place(_ path: String, followsLink: Bool) throws -> CopyPlace {
        var status = stat()
        guard (followsLink ? stat(path, &status) : lstat(path, &status)) == 0 else {
            guard errno == ENOENT else {
                throw CommandError("cannot look at '\(path)': \(String(cString: strerror(errno)))")
            }
            return CopyPlace(kind: .nothing, path: path, realPath: path)
        }
        let isDirectory = status.st_mode & S_IFMT == S_IFDIR
        let isLink = status.st_mode & S_IFMT == S_IFLNK
        return CopyPlace(
            kind: isDirectory ? .directory : .file,
            path: path,
            realPath: isLink ? path : realPath(path)
        )
    }

    private static func realPath(_ path: String) -> String {
        guard let resolved = realpath(path, nil) else { return path }
        defer { free(resolved) }
        return String(cString: resolved)
    }
}

import CLinux
import Glibc

/// A path as a directory and a name in it, which is what calls that follow no link want.
struct SourcePath {
    /// Where it is.
    let directory: String
    /// The name there; `.` if it is the directory itself.
    let base: [UInt8]
    /// What it is called in an archive.
    let name: [UInt8]
    /// Whether it was written as a directory's.
    let mustBeDirectory: Bool

    /// Takes a path apart.
    ///
    /// - Throws: ``TreeFailure`` if a link that is to be followed leads nowhere.
    init(_ path: String, followsLink: Bool) throws(TreeFailure) {
        let components = path.split(separator: "/")
        guard let last = components.last, last != ".", last != ".." else {
            // The directory itself, whatever it is called: what is in it has names of its own.
            (directory, base, name, mustBeDirectory) = (path.isEmpty ? "." : path, [46], [46], true)
            return
        }
        var parent = components.dropLast().joined(separator: "/")
        parent = path.hasPrefix("/") ? "/" + parent : parent
        var base = String(last)
        // A slash at the end means the target, as everywhere (path_resolution(7)).
        if followsLink || path.hasSuffix("/") {
            let place = clinux_open_place(AT_FDCWD, path, 1)
            guard place >= 0 else { throw TreeFailure(errno: errno, "cannot copy", path) }
            defer { close(place) }
            let real = Self.realPath(of: place)
            // The path of what is at the root of everything has no last component.
            guard let slash = real.lastIndex(of: "/"), real.count > 1 else {
                (directory, self.base, name, mustBeDirectory) = (path, [46], Array(last.utf8), true)
                return
            }
            parent = slash == real.startIndex ? "/" : String(real[..<slash])
            base = String(real[real.index(after: slash)...])
        }
        directory = parent.isEmpty ? "." : parent
        self.base = Array(base.utf8)
        name = Array(last.utf8)
        mustBeDirectory = path.hasSuffix("/")
    }

    /// The path of what a descriptor names, without links.
    static func realPath(of descriptor: Int32) -> String {
        linkTarget(AT_FDCWD, Array("/proc/self/fd/\(descriptor)".utf8))?.text ?? ""
    }
}

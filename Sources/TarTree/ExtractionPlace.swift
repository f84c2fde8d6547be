import CLinux
import Glibc

/// The directory that an archive is unpacked below, and the way to directories in it.
final class ExtractionPlace {
    private let root: Int32
    private let path: String
    private let resolve: clinux_resolve
    /// The directory that was asked for last: members of one follow each other.
    private var last: (components: ArraySlice<[UInt8]>, descriptor: Int32)?

    init(_ path: String) throws(TreeFailure) {
        self.path = path
        let descriptor = clinux_open_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NONBLOCK)
        guard descriptor >= 0 else { throw TreeFailure(errno: errno, "cannot copy into", path) }
        root = descriptor
        // Below the root of everything an absolute link leads where it says.
        resolve = SourcePath.realPath(of: descriptor) == "/" ? CLINUX_IN_ROOT : CLINUX_BENEATH
    }

    deinit {
        if let last { close(last.descriptor) }
        close(root)
    }

    /// For messages.
    func describe(_ components: some Sequence<[UInt8]>) -> String {
        let below = components.map(\.text).joined(separator: "/")
        return path.hasSuffix("/") ? path + below : "\(path)/\(below)"
    }

    /// A directory in it, made with all above it if it is not there; valid until the next call.
    func directory(_ components: ArraySlice<[UInt8]>) throws(TreeFailure) -> Int32 {
        if components.isEmpty { return root }
        if let last, last.components == components { return last.descriptor }
        let descriptor = try openOrMake(components)
        if let last { close(last.descriptor) }
        last = (components, descriptor)
        return descriptor
    }

    /// Opens a directory in it, which the caller closes.
    func open(_ components: ArraySlice<[UInt8]>, flags: Int32 = O_RDONLY) throws(TreeFailure) -> Int32 {
        let descriptor = openIfThere(components, flags)
        guard descriptor >= 0 else { throw failure(errno, components) }
        return descriptor
    }

    /// Whether a path leads to a directory that is in it, too.
    func leadsToDirectory(_ components: [[UInt8]]) throws(TreeFailure) -> Bool {
        let descriptor = openIfThere(components[...], O_RDONLY)
        guard descriptor >= 0 else {
            if errno == ENOTDIR || errno == ENOENT { return false }
            throw failure(errno, components[...])
        }
        close(descriptor)
        return true
    }

    private func openIfThere(_ components: ArraySlice<[UInt8]>, _ flags: Int32) -> Int32 {
        let path = components.isEmpty ? [46] : Array(components.joined(separator: [47]))
        return path.withName { clinux_open_below(root, $0, flags | O_DIRECTORY | O_NONBLOCK, 0, resolve) }
    }

    private func openOrMake(_ components: ArraySlice<[UInt8]>) throws(TreeFailure) -> Int32 {
        let descriptor = openIfThere(components, O_RDONLY)
        if descriptor >= 0 { return descriptor }
        guard errno == ENOENT, let name = components.last else { throw failure(errno, components) }
        // Not through a function that calls itself: a name may have two thousand components.
        var known = components.dropLast()
        var parent = openIfThere(known, O_RDONLY)
        while parent < 0, errno == ENOENT, !known.isEmpty {
            known = known.dropLast()
            parent = openIfThere(known, O_RDONLY)
        }
        guard parent >= 0 else { throw failure(errno, known) }
        for component in components[known.endIndex...].dropLast() + [name] {
            let made = component.withName { mkdirat(parent, $0, 0o755) }
            guard made == 0 || errno == EEXIST else {
                let error = errno
                close(parent)
                throw TreeFailure(errno: error, "cannot make the directory", describe(components))
            }
            let child = component.withName { clinux_open_at(parent, $0, O_RDONLY | O_DIRECTORY | O_NOFOLLOW) }
            let error = errno
            close(parent)
            // A symbolic link that leads nowhere is there, and yet not.
            guard child >= 0 else { throw failure(error, components) }
            parent = child
        }
        return parent
    }

    private func failure(_ error: Int32, _ components: ArraySlice<[UInt8]>) -> TreeFailure {
        let path = describe(components)
        guard error == EXDEV || error == ELOOP else { return TreeFailure(errno: error, "cannot write into", path) }
        return TreeFailure(
            .outside,
            path: path,
            "\(TreeFailure.quoted(path)) leads out of \(TreeFailure.quoted(self.path)) through a symbolic link"
        )
    }
}

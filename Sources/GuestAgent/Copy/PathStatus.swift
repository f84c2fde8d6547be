import CLinux
import Glibc
import GuestProtocol
import TarTree

extension GuestPathStatus {
    /// What is at a path now; nothing is no error.
    ///
    /// - Throws: ``TreeFailure`` if that cannot be found out.
    init(of request: GuestPathRequest) throws(TreeFailure) {
        let place = clinux_open_place(AT_FDCWD, request.path, request.followsLink ? 1 : 0)
        guard place >= 0 else {
            guard errno == ENOENT else { throw TreeFailure(errno: errno, "cannot look at", request.path) }
            self = .nothing
            return
        }
        defer { close(place) }
        var status = stat()
        guard fstat(place, &status) == 0 else { throw TreeFailure(errno: errno, "cannot look at", request.path) }
        let kind: Kind
        switch status.st_mode & S_IFMT {
        case S_IFREG: kind = .file
        case S_IFDIR: kind = .directory
        case S_IFLNK: kind = .symbolicLink
        default: kind = .other
        }
        self.init(
            realPath: Self.link("/proc/self/fd/\(place)"),
            kind: kind,
            mode: Int(status.st_mode & 0o7777),
            size: Int(status.st_size),
            owner: Int(status.st_uid),
            group: Int(status.st_gid),
            modifiedSeconds: Int(status.st_mtim.tv_sec),
            modifiedNanoseconds: Int(status.st_mtim.tv_nsec),
            linkTarget: kind == .symbolicLink ? Self.link(request.path) : nil
        )
    }

    private static func link(_ path: String) -> String? {
        TarTree.linkTarget(AT_FDCWD, Array(path.utf8)).map { String(decoding: $0, as: UTF8.self) }
    }
}

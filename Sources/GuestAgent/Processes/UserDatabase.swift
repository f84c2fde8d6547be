/// The users and groups of an image, read from its own files: the C library's functions would load libraries of the
/// build machine into a static executable.
struct UserDatabase: Sendable {
    /// Whom a process runs as.
    struct Identity: Sendable, Equatable {
        var uid: UInt32
        var gid: UInt32
        /// Supplementary groups.
        var groups: [UInt32]
        var home: String?
    }

    /// Why a user could not be found, in words.
    struct LookupError: Error, Equatable {
        var message: String
    }

    private struct User {
        var name: Substring
        var uid: UInt32
        var gid: UInt32
        var home: String
    }

    private struct Group {
        var name: Substring
        var gid: UInt32
        var members: [Substring]
    }

    private let users: [User]
    private let groups: [Group]

    /// Reads the text of /etc/passwd (passwd(5)) and /etc/group (group(5)); lines that make no sense are skipped.
    init(passwd: String, group: String) {
        users = passwd.split(separator: "\n").compactMap { line in
            let fields = line.split(separator: ":", omittingEmptySubsequences: false)
            guard fields.count >= 6, !fields[0].isEmpty, let uid = UInt32(fields[2]), let gid = UInt32(fields[3]) else {
                return nil
            }
            return User(name: fields[0], uid: uid, gid: gid, home: String(fields[5]))
        }
        groups = group.split(separator: "\n").compactMap { line in
            let fields = line.split(separator: ":", omittingEmptySubsequences: false)
            guard fields.count >= 4, !fields[0].isEmpty, let gid = UInt32(fields[2]) else { return nil }
            return Group(name: fields[0], gid: gid, members: fields[3].split(separator: ","))
        }
    }

    /// Finds whom an image's USER means: `user`, `uid`, `user:group`, `uid:gid` or a mixture; empty means root.
    ///
    /// As in container engines a name is preferred to a number, a number need not be in the files (its group is then
    /// 0), and supplementary groups come only with a user that is there and a group that is not given.
    func identity(of specification: String) throws(LookupError) -> Identity {
        let parts = specification.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        let userPart = parts.first.flatMap { $0.isEmpty ? nil : $0 } ?? "0"
        let groupPart = parts.count > 1 && !parts[1].isEmpty ? parts[1] : nil

        let user =
            users.first { $0.name == userPart } ?? UInt32(userPart).flatMap { uid in users.first { $0.uid == uid } }
        guard let uid = user?.uid ?? UInt32(userPart) else {
            throw LookupError(message: "no user \(userPart) in the image's /etc/passwd")
        }
        guard let groupPart else {
            let supplementary = user.map { user in groups.filter { $0.members.contains(user.name) }.map(\.gid) } ?? []
            return Identity(uid: uid, gid: user?.gid ?? 0, groups: supplementary, home: user?.home)
        }
        guard let gid = groups.first(where: { $0.name == groupPart })?.gid ?? UInt32(groupPart) else {
            throw LookupError(message: "no group \(groupPart) in the image's /etc/group")
        }
        return Identity(uid: uid, gid: gid, groups: [], home: user?.home)
    }
}

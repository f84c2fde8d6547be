import Tar

/// An extended attribute as erofs stores it: the namespace as a number, and the rest of the name.
struct ExtendedAttribute {
    let nameIndex: UInt8
    let name: [UInt8]
    let value: [UInt8]

    /// Numbers of `fs/erofs/erofs_fs.h`.
    ///
    /// An ACL's whole name is its namespace.
    private static let namespaces: [(prefix: [UInt8], index: UInt8)] = [
        (Array("user.".utf8), 1), (Array("trusted.".utf8), 4), (Array("security.".utf8), 6),
    ]
    private static let accessControlLists: [(name: [UInt8], index: UInt8)] = [
        (Array("system.posix_acl_access".utf8), 2), (Array("system.posix_acl_default".utf8), 3),
    ]
    /// SELinux labels are those of the machine that built the image; overlay attributes would be taken by the guest's
    /// overlay as its own, and hide or redirect files.
    private static let left: [[UInt8]] = ["security.selinux", "trusted.overlay.", "user.overlay."].map {
        Array($0.utf8)
    }

    /// Nil for attributes that Linux has no namespace for (macOS's, NFSv4 ACLs) or that must not get into a disk.
    ///
    /// - Throws: ``DecodingFailure`` if the attribute is larger than erofs can hold (and, but for one byte, Linux).
    init?(_ attribute: (name: [UInt8], value: [UInt8])) throws {
        let name = attribute.name
        guard !Self.left.contains(where: { name.starts(with: $0) }) else { return nil }
        if let list = Self.accessControlLists.first(where: { $0.name == name }) {
            nameIndex = list.index
            self.name = []
        } else if let namespace = Self.namespaces.first(where: {
            name.starts(with: $0.prefix) && name.count > $0.prefix.count
        }) {
            nameIndex = namespace.index
            self.name = Array(name.dropFirst(namespace.prefix.count))
        } else {
            return nil
        }
        guard self.name.count <= 255, !self.name.contains(0), attribute.value.count <= Int(UInt16.max) else {
            throw DecodingFailure("the extended attribute \(TarEntry.printable(name)) is too large")
        }
        value = attribute.value
    }

    /// As setxattr(2) takes it.
    var fullName: [UInt8] {
        if let list = Self.accessControlLists.first(where: { $0.index == nameIndex }) { return list.name }
        return (Self.namespaces.first { $0.index == nameIndex }?.prefix ?? []) + name
    }

    /// Bytes in an inode: a header of four, padded to a multiple of four.
    var encodedSize: Int { (4 + name.count + value.count + 3) & ~3 }

    func encode(into bytes: inout [UInt8]) {
        bytes.append(UInt8(name.count))
        bytes.append(nameIndex)
        bytes.append(contentsOf: [UInt8(value.count & 255), UInt8(value.count >> 8)])
        bytes.append(contentsOf: name)
        bytes.append(contentsOf: value)
        while bytes.count % 4 != 0 { bytes.append(0) }
    }
}

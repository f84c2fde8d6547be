import CLinux
import Glibc

/// Names are bytes: Linux knows no encoding.
extension [UInt8] {
    /// As C takes it; a name has no NUL inside.
    func withName<Result>(_ body: (UnsafePointer<CChar>) throws -> Result) rethrows -> Result {
        try (self + [0]).withUnsafeBufferPointer { bytes in
            try bytes.withMemoryRebound(to: CChar.self) { buffer in
                // The array has at least its NUL.
                try body(buffer.baseAddress.unsafelyUnwrapped)
            }
        }
    }

    /// For messages.
    var text: String { String(decoding: self, as: UTF8.self) }
}

/// The place that a directory's descriptor and a name make, for the calls that take no descriptor.
///
/// It leads nowhere else while the name is a single one.
func descriptorPath(_ directory: Int32, _ name: [UInt8]) -> [UInt8] {
    Array("/proc/self/fd/\(directory)/".utf8) + name
}

/// Where a symbolic link leads; nil with errno set.
///
/// - Parameters:
///   - directory: Where it is, or `AT_FDCWD`.
///   - name: Its name there.
/// - Returns: The bytes of its target.
public func linkTarget(_ directory: Int32, _ name: [UInt8]) -> [UInt8]? {
    var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
    let capacity = buffer.count
    let count = name.withName { readlinkat(directory, $0, &buffer, capacity) }
    return count < 0 ? nil : buffer.prefix(count).map { UInt8(bitPattern: $0) }
}

/// Extended attributes that are copied.
enum FileAttributes {
    /// As much as one file may have in all: what a reader of archives takes is bounded.
    private static let limit = 900 << 10
    /// SELinux labels are those of the machine that the file is on; overlay attributes would be taken for an overlay's own.
    private static let left: [[UInt8]] = ["security.selinux", "trusted.overlay.", "user.overlay."].map {
        Array($0.utf8)
    }
    private static let privileged: [[UInt8]] = ["security.", "trusted."].map { Array($0.utf8) }

    static func isCopied(_ name: [UInt8]) -> Bool { !left.contains { name.starts(with: $0) } }

    /// Whether an attribute can give rights to whoever runs a file, or is for root alone.
    static func isPrivileged(_ name: [UInt8]) -> Bool { privileged.contains { name.starts(with: $0) } }

    /// Those of what a name in a directory stands for, a symbolic link itself included.
    static func read(_ directory: Int32, _ name: [UInt8], path: String) throws -> [(name: [UInt8], value: [UInt8])] {
        let place = descriptorPath(directory, name)
        let names = try contents(path) { buffer in
            place.withName { clinux_list_attributes($0, buffer.baseAddress, buffer.count) }
        }
        guard !names.isEmpty else { return [] }
        var attributes: [(name: [UInt8], value: [UInt8])] = []
        var total = 0
        for name in names.split(separator: 0).map(Array.init) where isCopied(name) {
            let value = try contents(path) { buffer in
                place.withName { place in
                    name.withName { clinux_get_attribute(place, $0, buffer.baseAddress, buffer.count) }
                }
            }
            total += name.count + value.count
            guard total <= limit else {
                throw TreeFailure(
                    .unsupported,
                    path: path,
                    "\(TreeFailure.quoted(path)) has more than \(limit) bytes of extended attributes"
                )
            }
            attributes.append((name, value))
        }
        return attributes
    }

    /// Asks for the size first, as xattr(7) wants it, and again if the attribute has grown since.
    private static func contents(_ path: String, _ call: (UnsafeMutableRawBufferPointer) -> Int) throws -> [UInt8] {
        while true {
            let size = call(UnsafeMutableRawBufferPointer(start: nil, count: 0))
            if size == 0 { return [] }
            if size > 0 {
                var bytes = [UInt8](repeating: 0, count: size)
                let read = bytes.withUnsafeMutableBytes { call($0) }
                if read >= 0 { return Array(bytes.prefix(read)) }
            }
            switch errno {
            case ERANGE: continue
            // A file system without attributes, one that is gone, and files that have none, as those of procfs.
            case EOPNOTSUPP, ENODATA, ENOENT, EPERM, EACCES, ENOSYS: return []
            case let error: throw TreeFailure(errno: error, "cannot read the attributes of", path)
            }
        }
    }
}

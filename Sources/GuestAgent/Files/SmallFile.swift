import CInit
import Glibc

/// Files of the guest: small ones, read whole.
public enum SmallFile {
    /// Reads at most `limit` bytes of a file.
    ///
    /// Never waits: a FIFO that an image has put in the place of a file must not stop the guest's agent.
    ///
    /// - Returns: nil if there is no such regular file.
    public static func read(_ path: String, limit: Int = 1 << 20) -> [UInt8]? {
        let descriptor = hypeman_open(path, O_RDONLY | O_NONBLOCK)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
        return read(descriptor: descriptor, limit: limit)
    }

    /// Reads a text file as ``read(_:limit:)`` does; bytes that are not UTF-8 are replaced.
    public static func text(_ path: String, limit: Int = 1 << 20) -> String? {
        read(path, limit: limit).map { String(decoding: $0, as: UTF8.self) }
    }

    /// Reads a file of the kernel's, without the newline at its end.
    public static func line(_ path: String) -> String? {
        text(path, limit: 4096).map { String($0.prefix { $0 != "\n" }) }
    }

    /// Reads at most `limit` bytes from where a descriptor stands.
    public static func read(descriptor: Int32, limit: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: limit)
        var count = 0
        while count < limit {
            let read = bytes.withUnsafeMutableBytes {
                Glibc.read(descriptor, $0.baseAddress?.advanced(by: count), limit - count)
            }
            if read < 0, errno == EINTR { continue }
            if read <= 0 { break }
            count += read
        }
        bytes.removeLast(limit - count)
        return bytes
    }

    /// Writes a file in place of what is there, a symbolic link included, which is replaced and not followed.
    ///
    /// - Returns: 0, or a negated errno.
    @discardableResult
    public static func replace(_ path: String, with text: String, mode: UInt32 = 0o644) -> Int32 {
        let temporary = path + ".hypeman"
        unlink(temporary)
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)
        guard descriptor >= 0 else { return -errno }
        let result = write(text, to: descriptor)
        close(descriptor)
        guard result == 0 else {
            unlink(temporary)
            return result
        }
        guard rename(temporary, path) == 0 else {
            let error = errno
            unlink(temporary)
            return -error
        }
        return 0
    }

    /// Writes over what a regular file has, which stays the same file.
    ///
    /// - Returns: 0, or a negated errno.
    static func overwrite(_ path: String, with text: String) -> Int32 {
        let descriptor = open(path, O_WRONLY | O_TRUNC | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else { return -errno }
        defer { close(descriptor) }
        return write(text, to: descriptor)
    }

    private static func write(_ text: String, to descriptor: Int32) -> Int32 {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let written = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            guard written > 0 else { return -errno }
            rest = rest.dropFirst(written)
        }
        return 0
    }

    /// Names in a directory, without `.` and `..`, in no order.
    public static func names(in directory: String) -> [String] {
        guard let stream = opendir(directory) else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }
}

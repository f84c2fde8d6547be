import Glibc

/// Why the guest cannot be brought up, in words for whoever started it.
struct BootFailure: Error {
    var message: String

    /// Throws if a call of CInit's has failed.
    static func check(_ result: Int32, _ action: @autoclosure () -> String) throws(BootFailure) {
        guard result < 0 else { return }
        throw BootFailure(message: "\(action()): \(String(cString: strerror(-result)))")
    }
}

/// The serial console, for early messages: the host keeps it as a log of its own.
enum Console {
    /// Writes one line.
    static func write(_ line: String) {
        let bytes = Array("hypeman-init: \(line)\n".utf8)
        _ = bytes.withUnsafeBytes { Glibc.write(2, $0.baseAddress, $0.count) }
    }
}

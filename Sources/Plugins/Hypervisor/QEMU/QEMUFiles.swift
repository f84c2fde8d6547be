import AgentCore
import SystemPackage

/// What a QEMU has in its machine's runtime directory.
struct QEMUFiles: Sendable {
    /// Control: QMP.
    let control: FilePath
    /// The serial console.
    let console: FilePath
    /// hypeman-init's virtio-serial port.
    let channel: FilePath
    /// What QEMU says on stdout and stderr.
    let log: FilePath

    init(_ directory: FilePath) throws {
        control = try SocketPath.make("qmp.sock", in: directory)
        console = try SocketPath.make("console.sock", in: directory)
        channel = try SocketPath.make("channel.sock", in: directory)
        log = directory.appending("vmm.log")
    }

    var sockets: [FilePath] { [control, console, channel] }

    /// The last lines of QEMU's own words, for an error; nil if it said nothing.
    func lastWords() -> String? {
        guard let bytes = ProcessTable.read(log.string, limit: 64 << 10) else { return nil }
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n").suffix(4)
        return lines.isEmpty ? nil : lines.joined(separator: "; ")
    }
}

import CInit
import Glibc
import GuestAgent
import GuestProtocol
import GuestTransport

extension GuestConfiguration {
    /// Virtio serial of the disk that holds the configuration.
    private static let diskSerial = "config"
    /// More than any configuration has, environment variables included.
    private static let maximumSize = 1 << 20

    /// Reads the configuration disk: JSON, then NUL bytes up to the disk's end.
    static func load() throws(BootFailure) -> GuestConfiguration {
        let disk = try Devices.disk(serial: diskSerial)
        let descriptor = hypeman_open(disk, O_RDONLY)
        try BootFailure.check(descriptor, "cannot open the configuration disk \(disk)")
        defer { close(descriptor) }
        let text = SmallFile.read(descriptor: descriptor, limit: maximumSize).prefix { $0 != 0 }
        let configuration: GuestConfiguration
        do {
            configuration = try GuestJSON.decode(GuestConfiguration.self, from: text)
        } catch {
            throw BootFailure(message: "cannot read the configuration: \(error)")
        }
        guard SessionMarker.isValid(secret: configuration.session) else {
            throw BootFailure(message: "the configuration's session is not 32 hexadecimal digits")
        }
        return configuration
    }
}

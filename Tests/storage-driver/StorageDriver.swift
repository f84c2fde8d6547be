import AgentCore
import Foundation
import StoragePlugin
import SystemPackage

/// The writer of root disks without an agent: `make bench` times it.
///
///     storage-driver DIRECTORY ARCHIVE [none|lz4]
///
/// It takes the archive in, makes a root disk of it below the directory, compressed or not, and prints how many seconds that last step took,
/// and how many bytes the disk has.
@main struct StorageDriver {
    static func main() async throws {
        let arguments = CommandLine.arguments.dropFirst()
        guard (2...3).contains(arguments.count),
            let compression = RootDiskCompression(rawValue: arguments.count == 3 ? arguments[3] : "none")
        else {
            FileHandle.standardError.write(Data("usage: storage-driver DIRECTORY ARCHIVE [none|lz4]\n".utf8))
            exit(64)
        }
        let configuration = StorageConfiguration(
            dataDirectory: FilePath(arguments[1]),
            rootDiskCompression: compression
        )
        let store = try ContentStore(configuration: configuration)
        let reader = ArchiveReader(store: store, configuration: configuration)
        let image = try await reader.read(FilePath(arguments[2]), platform: .host) { _ in }
        // What was taken in is not the writer's to write out.
        sync()
        let began = ContinuousClock.now
        let disk = try await ErofsImageBuilder(store: store, configuration: configuration).build(image) { _ in }
        print((ContinuousClock.now - began) / .seconds(1), disk.size.bytes)
    }
}

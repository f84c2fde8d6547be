import AgentCore
import AgentTestSupport
import Foundation
import StoragePlugin
import SystemPackage
import Testing

@Suite("disks of instances")
struct DirectoryDiskStoreTests {
    @Test func overlayIsASparseFileSystemThatMounts() async throws {
        try await Scratch.with { scratch in
            let store = try DirectoryDiskStore(configuration: try scratch.storage().configuration)
            let id = InstanceID.random()
            let path = try await store.createOverlay(for: id, size: .gibibytes(10))
            let size = try FileManager.default.attributesOfItem(atPath: path.string)[.size] as? Int
            #expect(size == 10 << 30)
            #expect(try await store.usage(of: id) < .mebibytes(100))
            try await tool("e2fsck", ["-fn", path.string])
        }
    }

    @Test func configurationDiskIsWholeSectors() async throws {
        try await Scratch.with { scratch in
            let store = try DirectoryDiskStore(configuration: try scratch.storage().configuration)
            let path = try await store.writeConfigurationDisk(for: .random(), contents: [1, 2, 3])
            #expect(
                try Data(contentsOf: URL(filePath: path.string)) == Data([1, 2, 3] + [UInt8](repeating: 0, count: 509))
            )
        }
    }

    @Test func fullDiskIsSaidAndLeavesNothing() async throws {
        try await withSmallFileSystem(megabytes: 2) { scratch, data in
            let store = try DirectoryDiskStore(configuration: try scratch.storage(data: data).configuration)
            let id = InstanceID.random()
            let error = await #expect(throws: AgentError.self) {
                try await store.createOverlay(for: id, size: .gibibytes(100))
            }
            #expect(error?.kind == .storageFull, "\(String(describing: error))")
            #expect(try await store.usage(of: id).bytes == 0)
        }
    }
}

/// Runs `body` with a data directory on a file system of its own that is soon full.
func withSmallFileSystem(megabytes: Int, _ body: (Scratch, FilePath) async throws -> Void) async throws {
    try await Scratch.with { scratch in
        let point = scratch.appending("small")
        try FileManager.default.createDirectory(atPath: point.string, withIntermediateDirectories: true)
        try await tool("mount", ["-t", "tmpfs", "-o", "size=\(megabytes)m", "tmpfs", point.string])
        do {
            try await body(scratch, point)
            try await tool("umount", ["-l", point.string])
        } catch {
            try await tool("umount", ["-l", point.string])
            throw error
        }
    }
}

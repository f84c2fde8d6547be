import AgentCore
import AgentHTTP
import AgentTestSupport
import Foundation
import Synchronization
import SystemPackage

/// Volumes that are there because they were asked for; archives are kept as they came.
final class ScriptedVolumes: VolumeOperations {
    struct Script {
        var volumes: [Volume] = []
        var requests: [CreateVolumeRequest] = []
        var archives: [[UInt8]] = []
        var failure: AgentError?
    }

    let script = Mutex(Script())
    private let directory: FilePath

    init(directory: FilePath) { self.directory = directory }

    /// The archives that were received and are not gone.
    var files: [String] {
        get throws {
            try FileManager.default.contentsOfDirectory(atPath: directory.string).filter { $0.hasPrefix("volume") }
        }
    }

    func list(_ filter: VolumeFilter) -> [Volume] {
        script.withLock { $0.volumes }.filter { filter.name == nil || $0.name.rawValue == filter.name }
    }

    func get(_ reference: String) throws(AgentError) -> Volume {
        let found = script.withLock { script in
            script.volumes.first { $0.id.rawValue == reference || $0.name.rawValue == reference }
        }
        guard let found else { throw AgentError(.notFound, "there is no volume '\(reference)'") }
        return found
    }

    func check(_ request: CreateVolumeRequest) throws(AgentError) {
        if let failure = script.withLock({ $0.failure }) { throw failure }
    }

    func newArchiveFile() async throws -> FilePath {
        directory.appending("volume-\(UInt64.random(in: 0...UInt64.max))")
    }

    func discard(_ archive: FilePath) async { try? FileManager.default.removeItem(atPath: archive.string) }

    func create(_ request: CreateVolumeRequest, from archive: FilePath?) async throws -> Volume {
        if let archive {
            let bytes = Array(try Data(contentsOf: URL(filePath: archive.string)))
            script.withLock { $0.archives.append(bytes) }
            await discard(archive)
        }
        try check(request)
        var volume = Volume(
            id: request.id ?? .random(),
            name: request.name,
            size: request.size,
            tags: request.tags,
            createdAt: Fixtures.time
        )
        script.withLock { script in
            script.requests.append(request)
            script.volumes.append(volume)
        }
        volume.attachments = []
        return volume
    }

    func grow(_ reference: String, to size: ByteSize) async throws -> Volume {
        let volume = try get(reference)
        script.withLock { script in
            for index in script.volumes.indices where script.volumes[index].id == volume.id {
                script.volumes[index].size = size
            }
        }
        return try get(reference)
    }

    func delete(_ reference: String) async throws {
        let volume = try get(reference)
        if let failure = script.withLock({ $0.failure }) { throw failure }
        script.withLock { script in script.volumes.removeAll { $0.id == volume.id } }
    }
}

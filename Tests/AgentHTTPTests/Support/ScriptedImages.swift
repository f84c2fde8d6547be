import AgentCore
import AgentHTTP
import AgentTestSupport
import Foundation
import Synchronization
import SystemPackage

/// Images that do what a test says; received archives lie in a directory of their own.
final class ScriptedImages: ImageOperations {
    struct Script {
        var images: [Image] = []
        var pulled: [ImageReference] = []
        var credentials: [RegistryCredentials?] = []
        var imported: [(contents: Int, name: String?)] = []
        var pullFailure: AgentError?
        var pruned: [ImagePruneRequest] = []
        var archivePieces: [[UInt8]] = [Array("archive".utf8)]
        var archiveFailure: AgentError?
        /// For archives; nil is any number of bytes.
        var room: ByteSize?
        var progress: [ImageProgress] = [ImageProgress(status: .ready, completed: 1, total: 1)]
    }

    let script = Mutex(Script())
    let directory: FilePath

    init(directory: FilePath) { self.directory = directory }

    func pull(
        _ reference: ImageReference,
        tags: [String: String],
        credentials: RegistryCredentials?
    ) async throws -> Image {
        if let failure = script.withLock({ $0.pullFailure }) { throw failure }
        let image = Fixtures.image(reference.description)
        script.withLock { script in
            script.pulled.append(reference)
            script.credentials.append(credentials)
            script.images.append(image)
        }
        return image
    }

    func newArchiveFile() async throws -> FilePath {
        let path = directory.appending("archive-\(UInt32.random(in: 0...UInt32.max))")
        guard FileManager.default.createFile(atPath: path.string, contents: nil) else {
            throw AgentError(.internal, "cannot create \(path)")
        }
        return path
    }

    func importArchive(_ archive: FilePath, name: ImageReference?, tags: [String: String]) async throws -> Image {
        let size = try FileManager.default.attributesOfItem(atPath: archive.string)[.size] as? Int ?? -1
        try FileManager.default.removeItem(atPath: archive.string)
        let image = Fixtures.image(name?.description ?? "docker.io/library/imported:latest")
        script.withLock { script in
            script.imported.append((size, name?.description))
            script.images.append(image)
        }
        return image
    }

    func list() -> [Image] { script.withLock { $0.images } }

    func get(_ reference: ImageReference) throws(AgentError) -> Image {
        guard let found = list().first(where: { $0.name == reference.description }) else {
            throw AgentError(.notFound, "there is no image '\(reference)'")
        }
        return found
    }

    func delete(_ reference: ImageReference) async throws {
        let image = try get(reference)
        script.withLock { script in script.images.removeAll { $0.name == image.name } }
    }

    func progress(of reference: ImageReference) throws(AgentError) -> AsyncStream<ImageProgress> {
        _ = try get(reference)
        let steps = script.withLock { $0.progress }
        return AsyncStream { continuation in
            for step in steps { continuation.yield(step) }
            continuation.finish()
        }
    }

    /// The archives that were begun and neither imported nor removed.
    var leftovers: [String] { (try? FileManager.default.contentsOfDirectory(atPath: directory.string)) ?? [] }
}

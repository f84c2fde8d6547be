import AgentAPI
import Foundation
import NIOCore

extension AgentClient {
    /// Sends an archive, waits until it is an image, and shows both.
    ///
    /// - Parameters:
    ///   - source: What to send.
    ///   - label: What it is called while it is shown.
    ///   - name: The image's name; nil takes the one that the archive carries.
    /// - Returns: The image, which is ready.
    /// - Throws: The agent's refusal, and what became of the image if it is not ready.
    func importArchive(_ source: ArchiveSource, label: String, name: String?) async throws -> ImageResponse {
        let query = name.map { "?name=\(PercentEncoding.encode($0))" } ?? ""
        let printer = ProgressPrinter()
        let (sent, sentFeed) = AsyncStream<Int>.makeStream(bufferingPolicy: .bufferingNewest(1))
        let chunks = ArchiveChunks(pieces: source.pieces) { sentFeed.yield($0) }
        let image = try await withThrowingTaskGroup(of: ImageResponse?.self) { group in
            group.addTask {
                for await count in sent {
                    try await printer.show("\(label): sending", completed: count, total: source.size)
                }
                return nil
            }
            group.addTask {
                defer { sentFeed.finish() }
                return try await upload(
                    "/images/import\(query)",
                    chunks,
                    length: source.size,
                    as: ImageResponse.self
                )
            }
            var image: ImageResponse?
            for try await result in group { image = result ?? image }
            try await printer.finish()
            return image
        }
        guard let image else { throw CommandError("the agent did not say what became of the import") }
        return try await showProgress(of: image, printer)
    }

    /// Gives an image's archive to `use`, piece by piece.
    ///
    /// - Throws: The agent's refusal, what `use` throws, and if the archive ends too early.
    func saveImage(_ name: String, _ use: (_ piece: [UInt8], _ total: Int?) async throws -> Void) async throws {
        try await download(Self.path(image: name, "/archive"), use)
    }
}

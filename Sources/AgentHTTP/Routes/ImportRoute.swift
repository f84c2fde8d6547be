import AgentAPI
import AgentCore
import HTTPTypes
import HummingbirdCore
import NIOCore
import NIOPosix
import SystemPackage
import Uploads

/// Import of an archive that comes as the request's body, of any size, through a file and never through memory.
struct ImportRoute: Sendable {
    /// Bytes that are received before it is asked whether there is room for more.
    private static let roomStep = 8 << 20

    let images: any ImageOperations
    let threads: NIOThreadPool

    var route: Route {
        Route(.importImage, consumes: .bytes) { call in
            try call.query.check(only: ["name", "tags"])
            let name = try call.query["name"].flatMap { text throws(AgentError) in
                text.isEmpty ? nil : try ImageReference(text)
            }
            let tags = try call.query.tags()
            // Now, and not when gigabytes have been received.
            try Tags.validate(tags)
            guard !call.body.isAtEnd else {
                throw AgentError(
                    .invalidArgument,
                    code: "invalid_archive",
                    "the body is empty: send the archive as the body"
                )
            }
            try await images.requireRoom(for: ByteSize(bytes: call.body.announcedLength ?? 0))
            let file = try await images.newArchiveFile()
            do {
                try await receive(call.body, into: file)
            } catch {
                await UploadFile.discard(file, on: threads, call.logger)
                throw error
            }
            let image = try await images.importArchive(file, name: name, tags: tags)
            return try .json(ImageResponse(image), status: .accepted)
        }
    }

    /// Writes the body to the file.
    private func receive(_ body: BodySource, into path: FilePath) async throws {
        // A length that was announced was asked for as a whole.
        let isAsked = body.announcedLength != nil
        try await UploadFile.with(path, on: threads) { file in
            var unasked = 0
            try await body.forEachChunk { chunk in
                unasked += isAsked ? 0 : chunk.readableBytes
                if unasked >= Self.roomStep {
                    try await images.requireRoom(for: ByteSize(bytes: unasked))
                    unasked = 0
                }
                try await file.append(chunk.readableBytesView)
            }
            if unasked > 0 { try await images.requireRoom(for: ByteSize(bytes: unasked)) }
        }
    }
}

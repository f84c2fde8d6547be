import AgentCore
import HTTPTypes
import HummingbirdCore
import Logging
import NIOCore

/// Uploads: begun, continued in chunks, finished (OCI distribution-spec 1.1, "Pushing blobs").
extension RegistryEndpoint {
    /// So many bytes go to the disk at a time.
    private static let pieceSize = 256 << 10

    /// POST: mounts a blob, takes a whole one, or begins an upload.
    func begin(_ name: RepositoryName, _ call: Call) async throws -> Response {
        if let wanted = call.query["mount"], let digest = Digest(wanted), try await uploads.keep(digest) != nil {
            return created(name, digest)
        }
        guard let text = call.query["digest"] else {
            return accepted(name, try await uploads.begin(), received: 0)
        }
        let digest = try digest(text)
        let upload = try await uploads.begin()
        do {
            _ = try await take(call.body, into: upload, at: 0)
            try await uploads.finish(upload, as: digest)
        } catch {
            await giveUp(upload, call)
            throw error
        }
        return created(name, digest)
    }

    /// Nobody knows the upload's name: it would only wait for its end.
    private func giveUp(_ upload: UploadID, _ call: Call) async {
        do {
            try await uploads.cancel(upload)
        } catch let error as AgentError where error.kind == .notFound {
            return
        } catch {
            call.logger.warning("upload not given up", metadata: ["upload": "\(upload)", "error": "\(error)"])
        }
    }

    /// GET: how far an upload is.
    func status(_ name: RepositoryName, _ upload: UploadID) async throws -> Response {
        var response = accepted(name, upload, received: try await uploads.received(by: upload))
        response.status = .noContent
        return response
    }

    /// PATCH: a chunk, or all of it as a stream.
    func receive(_ name: RepositoryName, _ upload: UploadID, _ call: Call) async throws -> Response {
        accepted(name, upload, received: try await chunk(name, upload, call))
    }

    /// PUT: the last chunk, or all of it, or nothing more; and the end.
    func finish(_ name: RepositoryName, _ upload: UploadID, _ call: Call) async throws -> Response {
        let digest = try digest(call.query["digest"] ?? "")
        _ = try await chunk(name, upload, call)
        try await uploads.finish(upload, as: digest)
        return created(name, digest)
    }

    /// Takes a body in, at the place that its Content-Range names, which must be where the upload goes on.
    private func chunk(_ name: RepositoryName, _ upload: UploadID, _ call: Call) async throws -> Int {
        let received = try await uploads.received(by: upload)
        guard let text = call.headers[.contentRange] else {
            return try await take(call.body, into: upload, at: received)
        }
        guard let range = Self.range(text) else {
            throw RegistryError(.blobUploadInvalid, "Content-Range must be two numbers, as '0-1023'")
        }
        guard range.lowerBound == received else {
            var error = RegistryError(
                .blobUploadInvalid,
                status: .rangeNotSatisfiable,
                "the upload goes on at byte \(received), not at \(range.lowerBound)"
            )
            error.headers = accepted(name, upload, received: received).headers
            error.headers[.contentLength] = nil
            throw error
        }
        let length = call.body.announcedLength
        guard length == nil || length == range.count else {
            throw RegistryError(
                .sizeInvalid,
                "Content-Length is \(length ?? 0), and Content-Range has \(range.count) bytes"
            )
        }
        let end = try await take(call.body, into: upload, at: received, atMost: range.count)
        guard end == range.upperBound + 1 else {
            throw RegistryError(.sizeInvalid, "\(end - received) bytes came, and Content-Range has \(range.count)")
        }
        return end
    }

    /// `first-last`, as the specification has it, or HTTP's own `bytes first-last/*`.
    private static func range(_ text: String) -> ClosedRange<Int>? {
        let plain = (text.hasPrefix("bytes ") ? text.dropFirst(6) : text[...]).prefix { $0 != "/" }
        let parts = plain.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2, parts.allSatisfy({ !$0.isEmpty && $0.utf8.allSatisfy({ (48...57).contains($0) }) }),
            let first = Int(parts[0]), let last = Int(parts[1]), first <= last, last < Int.max
        else { return nil }
        return first...last
    }

    /// Writes a body to an upload, reading no faster than the disk takes it.
    ///
    /// - Returns: How many bytes of the upload are here then.
    private func take(
        _ body: BodySource,
        into upload: UploadID,
        at offset: Int,
        atMost limit: Int = .max
    ) async throws -> Int {
        var end = offset
        var piece: [UInt8] = []
        func flush() async throws {
            guard !piece.isEmpty else { return }
            let full = piece
            piece = []
            try await uploads.append(full, to: upload, at: end)
            end += full.count
        }
        try await body.forEachChunk { chunk in
            guard end - offset + piece.count + chunk.readableBytes <= limit else {
                throw RegistryError(.sizeInvalid, "more bytes came than the \(limit) of Content-Range")
            }
            piece += chunk.readableBytesView
            if piece.count >= Self.pieceSize { try await flush() }
        }
        try await flush()
        return end
    }

    // MARK: Answers

    private func created(_ name: RepositoryName, _ digest: Digest) -> Response {
        Response(
            status: .created,
            headers: [.location: "/v2/\(name)/blobs/\(digest)", .dockerContentDigest: digest.description]
        )
    }

    private func accepted(_ name: RepositoryName, _ upload: UploadID, received: Int) -> Response {
        Response(
            status: .accepted,
            headers: [
                .location: "/v2/\(name)/blobs/uploads/\(upload)",
                // Both ends are included: there is no way to say "nothing", and this is how other registries say it.
                .range: "0-\(max(0, received - 1))",
                .dockerUploadUUID: upload.description,
            ]
        )
    }
}

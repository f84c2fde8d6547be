import AgentCore
import HTTPTypes
import HummingbirdCore
import NIOCore

/// Blobs that are here: looked for and read (OCI distribution-spec 1.1, "Pulling blobs").
extension RegistryEndpoint {
    private static let pieceSize = 256 << 10

    /// HEAD: whether a blob is here; it stays for a while if one asks who may push.
    func look(_ digest: Digest, _ call: Call) async throws -> Response {
        let size =
            call.identity.allows(.scope(Scope(.image, .write)))
            ? try await uploads.keep(digest) : try await uploads.read(digest)?.size
        guard let size else { throw unknown(digest) }
        var headers = Self.headers(digest)
        headers[.contentLength] = "\(size)"
        return Response(status: .ok, headers: headers)
    }

    /// GET: a blob or a range of it.
    func read(_ digest: Digest, _ call: Call) async throws -> Response {
        guard let blob = try await uploads.read(digest) else { throw unknown(digest) }
        var headers = Self.headers(digest)
        guard let text = call.headers[.range], let range = ByteRange(text) else {
            return Response(status: .ok, headers: headers, body: Self.body(blob, 0..<blob.size))
        }
        guard let bytes = range.resolved(in: blob.size) else {
            throw RegistryError(
                .sizeInvalid,
                status: .rangeNotSatisfiable,
                "the blob has \(blob.size) bytes, none of which is in the range",
                headers: [.contentRange: "bytes */\(blob.size)"]
            )
        }
        headers[.contentRange] = "bytes \(bytes.lowerBound)-\(bytes.upperBound - 1)/\(blob.size)"
        return Response(status: .partialContent, headers: headers, body: Self.body(blob, bytes))
    }

    private func unknown(_ digest: Digest) -> RegistryError {
        // Also for layers that were here: they go once the root disk is made, and a client that needs them pushes again.
        RegistryError(.blobUnknown, status: .notFound, "there is no blob \(digest)")
    }

    private static func headers(_ digest: Digest) -> HTTPFields {
        [
            .contentType: "application/octet-stream", .dockerContentDigest: digest.description,
            .acceptRanges: "bytes", .eTag: "\"\(digest)\"",
        ]
    }

    private static func body(_ blob: any BlobReader, _ range: Range<Int>) -> ResponseBody {
        ResponseBody(contentLength: range.count) { writer in
            var offset = range.lowerBound
            while offset < range.upperBound {
                let bytes = try await blob.read(at: offset, count: min(pieceSize, range.upperBound - offset))
                // A file that became shorter: ending the connection tells the client, an early end would not.
                guard !bytes.isEmpty else { throw AgentError(.internal, "a blob ended at byte \(offset)") }
                try await writer.write(ByteBuffer(bytes: bytes))
                offset += bytes.count
            }
            try await writer.finish(nil)
        }
    }
}

/// A range of bytes as a client asks for it (RFC 9110, 14.1.2).
enum ByteRange: Equatable {
    case from(Int)
    case closed(Int, Int)
    case suffix(Int)

    /// A single range; nil for several and for what is no range, which are to be ignored.
    init?(_ header: String) {
        guard header.hasPrefix("bytes=") else { return nil }
        let parts = header.dropFirst(6).split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2, parts.allSatisfy({ $0.utf8.allSatisfy { (48...57).contains($0) } }) else { return nil }
        switch (Int(parts[0]), Int(parts[1])) {
        case (let first?, let last?) where first <= last: self = .closed(first, last)
        case (let first?, nil) where parts[1].isEmpty: self = .from(first)
        case (nil, let count?) where parts[0].isEmpty: self = .suffix(count)
        default: return nil
        }
    }

    /// The bytes of something with `size` bytes; nil if none is among them.
    func resolved(in size: Int) -> Range<Int>? {
        let range =
            switch self {
            case .from(let first): min(first, size)..<size
            case .closed(let first, let last): min(first, size)..<(last < size ? last + 1 : size)
            case .suffix(let count): max(0, size - count)..<size
            }
        return range.isEmpty ? nil : range
    }
}

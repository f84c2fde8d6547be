import AgentCore
import Foundation
import HTTPTypes
import HummingbirdCore
import NIOCore

/// Manifests and tags (OCI distribution-spec 1.1, "Pulling manifests", "Pushing manifests", "Content management").
extension RegistryEndpoint {
    /// Larger ones are refused, as the specification wants at least this much.
    private static let largestManifest = 4 << 20

    func get(_ name: RepositoryName, _ text: String) async throws -> Response {
        let manifest = try await knowing { try await pushes.manifest(reference(text), in: name) }
        return Response(
            status: .ok,
            headers: [
                .contentType: manifest.type, .dockerContentDigest: manifest.digest.description,
                .eTag: "\"\(manifest.digest)\"",
            ],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: manifest.bytes))
        )
    }

    func put(_ name: RepositoryName, _ text: String, _ call: Call) async throws -> Response {
        let reference = reference(text)
        if case .tag(let tag) = reference {
            do {
                _ = try name.tagged(tag)
            } catch {
                throw RegistryError(.manifestInvalid, error.message)
            }
        }
        var bytes: [UInt8] = []
        try await call.body.forEachChunk { chunk in
            guard bytes.count + chunk.readableBytes <= Self.largestManifest else {
                throw RegistryError(
                    .sizeInvalid,
                    status: .contentTooLarge,
                    "a manifest may have \(Self.largestManifest) bytes"
                )
            }
            bytes += chunk.readableBytesView
        }
        let type = call.headers[.contentType]?.prefix { $0 != ";" }.trimmingCharacters(in: .whitespaces)
        let digest = try await pushes.push(bytes, type: type, to: name, as: reference)
        return Response(
            status: .created,
            headers: [.location: "/v2/\(name)/manifests/\(digest)", .dockerContentDigest: digest.description]
        )
    }

    func delete(_ name: RepositoryName, _ text: String) async throws -> Response {
        try await knowing { try await pushes.delete(reference(text), in: name) }
        return Response(status: .accepted)
    }

    /// Does something with a manifest; one that there is not, or can't be, is `MANIFEST_UNKNOWN`.
    private func knowing<T>(_ body: () async throws -> T) async throws -> T {
        do {
            return try await body()
        } catch let error as AgentError where error.kind == .notFound || error.code == "invalid_name" {
            throw RegistryError(.manifestUnknown, status: .notFound, error.message)
        }
    }

    private func reference(_ text: String) -> PushService.Reference { Digest(text).map { .digest($0) } ?? .tag(text) }

    // MARK: Tags

    private struct TagList: Encodable {
        var name: String
        var tags: [String]
    }

    func tags(_ name: RepositoryName, _ call: Call) throws -> Response {
        var tags = try pushes.tags(of: name)
        if let last = call.query["last"] { tags.removeAll { $0 <= last } }
        var link: String?
        if let count = try call.query.integer("n") {
            guard count >= 0 else { throw RegistryError(.unsupported, "n must not be negative") }
            if count > 0, tags.count > count {
                link = "</v2/\(name)/tags/list?n=\(count)&last=\(tags[count - 1])>; rel=\"next\""
            }
            tags = Array(tags.prefix(count))
        }
        var response = try Response.json(TagList(name: name.description, tags: tags))
        response.headers[.link] = link
        return response
    }
}

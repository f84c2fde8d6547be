import AgentAPI
import AgentCore
import HTTPTypes
import NIOCore
import NIOPosix
import SystemPackage
import Uploads

/// A form with a volume's fields and the archive that it is made of, in any order: `name`, `size_gb`, `id`, `tags[…]` and
/// `content`.
struct VolumeForm: Sendable {
    private static let archiveField = "content"
    private static let maximumFieldLength = 4096

    private let contentType: String
    private let volumes: any VolumeOperations
    private let threads: NIOThreadPool

    init(contentType: String, volumes: any VolumeOperations, threads: NIOThreadPool) throws(AgentError) {
        _ = try MultipartParser(contentType: contentType)
        self.contentType = contentType
        self.volumes = volumes
        self.threads = threads
    }

    /// Receives it, and makes the volume.
    func receive(_ call: Call) async throws -> Volume {
        let archive = try await volumes.newArchiveFile()
        let request: CreateVolumeRequest
        do {
            request = try await UploadFile.with(archive, on: threads) { file in
                try await receive(call.body, into: file)
            }
        } catch {
            await volumes.discard(archive)
            throw error
        }
        return try await volumes.create(request, from: archive)
    }

    private func receive(_ body: BodySource, into file: UploadFile) async throws -> CreateVolumeRequest {
        var parser = try MultipartParser(contentType: contentType)
        var fields: [String: [UInt8]] = [:]
        var current = ""
        var bound = VolumeArchiveBound(volume: nil)
        try await body.forEachChunk { chunk in
            for event in try parser.take(chunk) {
                switch event {
                case .field(let name):
                    guard fields[name] == nil else { throw Self.invalid(name, "is there twice") }
                    (current, fields[name]) = (name, [])
                    guard name == Self.archiveField else { continue }
                    // Now, and not when gigabytes have been received; fields that come later are checked then.
                    if fields["name"] != nil, fields["size_gb"] != nil {
                        let request = try Self.request(fields)
                        try volumes.check(request)
                        bound = VolumeArchiveBound(volume: request.size)
                    }
                case .contents(let bytes) where current == Self.archiveField:
                    try bound.take(bytes.readableBytes)
                    try await file.append(bytes.readableBytesView)
                case .contents(let bytes):
                    fields[current, default: []] += bytes.readableBytesView
                    guard fields[current, default: []].count <= Self.maximumFieldLength else {
                        throw Self.invalid(current, "is longer than \(Self.maximumFieldLength) bytes")
                    }
                }
            }
        }
        guard parser.isAtEnd else {
            throw AgentError(.invalidArgument, code: "invalid_form", "the form ends without its last delimiter")
        }
        let request = try Self.request(fields)
        guard fields[Self.archiveField] != nil else {
            throw AgentError(
                .invalidArgument,
                code: "missing_file",
                "the form has no field '\(Self.archiveField)' with an archive; for an empty volume send JSON"
            )
        }
        return request
    }

    private static func request(_ fields: [String: [UInt8]]) throws(AgentError) -> CreateVolumeRequest {
        var tags: [String: String] = [:]
        for (name, value) in fields {
            switch name {
            case archiveField, "name", "size_gb", "id": break
            default:
                guard name.hasPrefix("tags["), name.hasSuffix("]") else {
                    throw invalid(name, "is not known; known are name, size_gb, id, tags[…] and \(archiveField)")
                }
                tags[String(name.dropFirst(5).dropLast())] = String(decoding: value, as: UTF8.self)
            }
        }
        guard let name = fields["name"], let size = fields["size_gb"] else {
            throw AgentError(.invalidArgument, code: "missing_field", "the fields 'name' and 'size_gb' are required")
        }
        return try CreateVolumeRequest(
            name: String(decoding: name, as: UTF8.self),
            size: try gigabytes(String(decoding: size, as: UTF8.self)),
            id: fields["id"].map { String(decoding: $0, as: UTF8.self) },
            tags: tags
        )
    }

    /// Reads `size_gb` where it is text.
    static func gigabytes(_ text: String) throws(AgentError) -> Int {
        guard let count = Int(text) else { throw invalid("size_gb", "is '\(text.prefix(50))' and not a whole number") }
        return count
    }

    private static func invalid(_ field: String, _ what: String) -> AgentError {
        AgentError(.invalidArgument, code: "invalid_field", "field '\(field.prefix(100))' \(what)")
    }
}

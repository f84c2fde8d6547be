import AgentCore
import Foundation
import Tar

extension OCI {
    private struct Probe: Decodable {
        struct Anything: Decodable {
            init(from decoder: any Decoder) {}
        }

        var schemaVersion: Int?
        var mediaType: String?
        var artifactType: String?
        var manifests: [Anything]?
        var layers: [Anything]?
    }

    /// Decodes JSON.
    ///
    /// - Throws: ``DecodingFailure`` that says what is missing or wrong, and where.
    static func decode<T: Decodable>(_ type: T.Type, from bytes: [UInt8], what: String) throws -> T {
        do {
            return try JSONDecoder().decode(type, from: Data(bytes))
        } catch let error as DecodingError {
            throw DecodingFailure("\(what) is not valid: \(explain(error))")
        }
    }

    private static func explain(_ error: DecodingError) -> String {
        func path(_ context: DecodingError.Context) -> String {
            let keys = context.codingPath.map { $0.intValue.map { "[\($0)]" } ?? $0.stringValue }
            return keys.isEmpty ? "its top level" : keys.joined(separator: ".")
        }
        return switch error {
        case .keyNotFound(let key, let context): "'\(key.stringValue)' is missing at \(path(context))"
        case .typeMismatch(_, let context), .valueNotFound(_, let context): "wrong type at \(path(context))"
        case .dataCorrupted(let context): "\(context.debugDescription.prefix(200)) at \(path(context))"
        @unknown default: "it cannot be decoded"
        }
    }

    static func encode(_ value: some Encodable) throws -> [UInt8] {
        let encoder = JSONEncoder()
        // One form for the same contents: the digest depends on it.
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return [UInt8](try encoder.encode(value))
    }
}

extension OCI.Document {
    /// - Throws: ``DecodingFailure``.
    init(parsing bytes: [UInt8]) throws {
        let probe = try OCI.decode(OCI.Probe.self, from: bytes, what: "the manifest")
        if probe.manifests != nil {
            self = .index(try OCI.decode(OCI.Index.self, from: bytes, what: "the image index"))
        } else if probe.layers != nil {
            self = .manifest(try OCI.Manifest(parsing: bytes))
        } else if probe.schemaVersion == 1 {
            throw DecodingFailure(
                "the image has a manifest of schema 1, which has been obsolete since 2017; push it again"
            )
        } else if let type = probe.artifactType ?? probe.mediaType {
            throw DecodingFailure("it is not an image to run, but of type '\(type.prefix(200))'")
        } else {
            throw DecodingFailure("the manifest is neither an image nor an index")
        }
    }
}

extension OCI.Manifest {
    /// - Throws: ``DecodingFailure``, also for negative sizes.
    init(parsing bytes: [UInt8]) throws {
        self = try OCI.decode(OCI.Manifest.self, from: bytes, what: "the manifest")
        guard layers.allSatisfy({ $0.size >= 0 }), (0...OCI.maximumDocument).contains(config.size) else {
            throw DecodingFailure("the manifest has a size that cannot be")
        }
    }
}

extension OCI.Index {
    /// The manifests for `platform`, the best first.
    ///
    /// Those without a platform may be for any.
    func candidates(for platform: Platform) -> [OCI.Descriptor] {
        let ranked = manifests.map { ($0, $0.platform == nil ? 0 : $0.platform?.suitability(for: platform)) }
        let suitable = ranked.compactMap { descriptor, rank in rank.map { (descriptor, $0) } }
        let best = suitable.map(\.1).max()
        return suitable.filter { $0.1 == best }.map(\.0)
    }

    /// As many as official images have, and a message can hold.
    private static let namedPlatforms = 16

    /// The platforms it has, for a message.
    var platforms: String {
        let names = manifests.compactMap { $0.platform?.description }.filter { $0 != "unknown/unknown" }
        let rest = names.count > Self.namedPlatforms ? " and \(names.count - Self.namedPlatforms) more" : ""
        return names.prefix(Self.namedPlatforms).joined(separator: ", ") + rest
    }
}

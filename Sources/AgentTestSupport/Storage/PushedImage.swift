public import AgentCore
import Foundation

import struct Crypto.SHA256

/// A small image as a client pushes it: blobs, and the manifest that refers to them.
public struct PushedImage: Sendable {
    public var configuration: [UInt8]
    public var layers: [[UInt8]]
    public var manifest: [UInt8]

    public static let manifestType = "application/vnd.oci.image.manifest.v1+json"
    public static let indexType = "application/vnd.oci.image.index.v1+json"

    /// Of uncompressed layers, with a command.
    public init(layers: [[UInt8]], command: [String] = ["/bin/app"], platform: Platform = .host) throws {
        self.layers = layers
        configuration = try Self.json([
            "os": platform.os, "architecture": platform.architecture, "config": ["Cmd": command],
            "rootfs": ["type": "layers", "diff_ids": layers.map { Self.digest($0).description }],
        ])
        manifest = try Self.json([
            "schemaVersion": 2, "mediaType": Self.manifestType,
            "config": Self.descriptor(configuration, "application/vnd.oci.image.config.v1+json"),
            "layers": layers.map { Self.descriptor($0, "application/vnd.oci.image.layer.v1.tar") },
        ])
    }

    public var digest: Digest { Self.digest(manifest) }
    /// What must be here before the manifest.
    public var blobs: [[UInt8]] { layers + [configuration] }

    /// The index of some images.
    public static func index(_ images: [(PushedImage, Platform)]) throws -> [UInt8] {
        try json([
            "schemaVersion": 2, "mediaType": indexType,
            "manifests": images.map { image, platform in
                var descriptor = descriptor(image.manifest, manifestType)
                descriptor["platform"] = ["os": platform.os, "architecture": platform.architecture]
                return descriptor
            },
        ])
    }

    /// Of some bytes.
    public static func digest(_ bytes: [UInt8]) -> Digest {
        guard let digest = Digest(sha256: Array(SHA256.hash(data: bytes))) else {
            preconditionFailure("SHA-256 has 32 bytes")
        }
        return digest
    }

    private static func descriptor(_ bytes: [UInt8], _ type: String) -> [String: Any] {
        ["mediaType": type, "digest": digest(bytes).description, "size": bytes.count]
    }

    private static func json(_ value: [String: Any]) throws -> [UInt8] {
        [UInt8](try JSONSerialization.data(withJSONObject: value, options: [.sortedKeys, .withoutEscapingSlashes]))
    }
}

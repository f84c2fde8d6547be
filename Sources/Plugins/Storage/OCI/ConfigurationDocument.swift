import AgentCore
import Foundation
import Tar

extension OCI {
    /// The image configuration (OCI image-spec, config.md), with Docker's additions.
    struct ConfigurationDocument: Codable {
        struct RootFilesystem: Codable {
            var type: String
            var diffIDs: [Digest]

            enum CodingKeys: String, CodingKey {
                case type
                case diffIDs = "diff_ids"
            }
        }

        struct Empty: Codable {}

        struct Execution: Codable {
            var entrypoint: [String]?
            var command: [String]?
            var environment: [String]?
            var workingDirectory: String?
            var user: String?
            var stopSignal: String?
            var exposedPorts: [String: Empty]?
            var volumes: [String: Empty]?
            var labels: [String: String]?
            var healthcheck: Healthcheck?

            enum CodingKeys: String, CodingKey {
                case entrypoint = "Entrypoint"
                case command = "Cmd"
                case environment = "Env"
                case workingDirectory = "WorkingDir"
                case user = "User"
                case stopSignal = "StopSignal"
                case exposedPorts = "ExposedPorts"
                case volumes = "Volumes"
                case labels = "Labels"
                case healthcheck = "Healthcheck"
            }
        }

        struct Healthcheck: Codable {
            var test: [String]?
            var interval: Int?
            var timeout: Int?
            var startPeriod: Int?
            var retries: Int?

            enum CodingKeys: String, CodingKey {
                case test = "Test"
                case interval = "Interval"
                case timeout = "Timeout"
                case startPeriod = "StartPeriod"
                case retries = "Retries"
            }
        }

        var os: String?
        var architecture: String?
        var variant: String?
        var config: Execution?
        var rootfs: RootFilesystem

        /// What it says about the platform; nil if it says nothing.
        var platform: Platform? {
            guard let os, let architecture, !os.isEmpty, !architecture.isEmpty else { return nil }
            return Platform(os: os, architecture: architecture, variant: variant)
        }

        /// - Throws: ``DecodingFailure``.
        init(parsing bytes: [UInt8]) throws {
            self = try OCI.decode(ConfigurationDocument.self, from: bytes, what: "the image configuration")
        }

        init(platform: Platform, diffIDs: [Digest]) {
            os = platform.os
            architecture = platform.architecture
            variant = platform.variant
            rootfs = RootFilesystem(type: "layers", diffIDs: diffIDs)
        }

        /// - Throws: ``AgentError`` `notSupported` for an image of another platform.
        func check(_ platform: Platform) throws {
            guard let own = self.platform, own.os != platform.os || own.architecture != platform.architecture else {
                return
            }
            throw AgentError(
                .notSupported,
                code: "platform_not_found",
                "the image is for \(own), this host is \(platform)"
            )
        }

        var configuration: ImageConfiguration {
            ImageConfiguration(
                entrypoint: config?.entrypoint ?? [],
                command: config?.command ?? [],
                environment: config?.environment ?? [],
                workingDirectory: config?.workingDirectory ?? "",
                user: config?.user ?? "",
                stopSignal: config?.stopSignal.flatMap { $0.isEmpty ? nil : $0 },
                exposedPorts: (config?.exposedPorts ?? [:]).keys.sorted(),
                volumes: (config?.volumes ?? [:]).keys.sorted(),
                labels: config?.labels ?? [:],
                healthcheck: config?.healthcheck.map {
                    ImageConfiguration.Healthcheck(
                        test: $0.test ?? [],
                        interval: $0.interval,
                        timeout: $0.timeout,
                        startPeriod: $0.startPeriod,
                        retries: $0.retries
                    )
                }
            )
        }
    }
}

extension OCI.ConfigurationDocument {
    /// A document with one layer and its history in place of its own; what we know nothing of stays as it is.
    ///
    /// - Throws: ``DecodingFailure`` for a document that is none.
    static func rewrite(_ bytes: [UInt8], layer: Digest, madeBy tool: String) throws -> [UInt8] {
        guard var object = try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any] else {
            throw DecodingFailure("the image configuration is no object")
        }
        object["rootfs"] = ["type": "layers", "diff_ids": [layer.description]] as [String: Any]
        var entry: [String: Any] = ["created_by": tool]
        entry["created"] = object["created"]
        object["history"] = [entry]
        return [UInt8](
            try JSONSerialization.data(withJSONObject: object, options: [.sortedKeys, .withoutEscapingSlashes])
        )
    }
}

import AgentAPI
import AgentCore
import Foundation
import HTTPTypes
import HummingbirdCore
import NIOCore

/// What images take of the disk: what there is, what can go, and an image as a file.
struct ImageStorageRoutes: Sendable {
    let images: any ImageOperations
    let resources: any ResourceOperations

    var routes: [Route] {
        [
            // Names instances, so it is for those who may see them.
            Route(.getDiskUsage) { call in
                try call.query.check(only: [])
                return try .cacheable(DiskUsageResponse(try await resources.diskUsage()), for: call)
            },
            Route(.pruneImages, consumes: .json) { call in
                try call.query.check(only: [])
                let body = try await call.body.optionalFields().map { try PruneImagesBody($0) } ?? PruneImagesBody()
                return try .json(PruneImagesResponse(try await images.prune(try ImagePruneRequest(body, now: Date()))))
            },
            Route(.saveImage, produces: .tar) { call in
                try call.query.check(only: [])
                let archive = try await images.archive(try ImageReference(call.subject))
                return Response(
                    status: .ok,
                    headers: [.contentType: Route.Media.tar.rawValue],
                    body: ResponseBody(contentLength: archive.size) { writer in
                        for try await piece in archive.pieces { try await writer.write(ByteBuffer(bytes: piece)) }
                        try await writer.finish(nil)
                    }
                )
            },
        ]
    }
}

extension ImagePruneRequest {
    /// Reads the filters in Docker's words.
    ///
    /// - Throws: ``AgentError`` `invalidArgument` `invalid_filter` that says which.
    init(_ body: PruneImagesBody, now: Date) throws(AgentError) {
        self.init(all: body.all, dryRun: body.dryRun)
        for filter in body.filters {
            if filter.hasPrefix("until=") {
                let text = String(filter.dropFirst(6))
                let time = DurationText.parse(text).map { now.addingTimeInterval(-Double($0.components.seconds)) }
                guard let time = time ?? APIJSON.parse(text) else { throw Self.invalid(filter) }
                createdBefore = min(createdBefore ?? time, time)
            } else if filter.hasPrefix("label!=") {
                try addLabel(filter.dropFirst(7), of: filter, isExcluded: true)
            } else if filter.hasPrefix("label=") {
                try addLabel(filter.dropFirst(6), of: filter, isExcluded: false)
            } else {
                throw Self.invalid(filter)
            }
        }
    }

    private mutating func addLabel(_ text: Substring, of filter: String, isExcluded: Bool) throws(AgentError) {
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard let name = parts.first, !name.isEmpty else { throw Self.invalid(filter) }
        labels.append(Label(String(name), value: parts.count == 2 ? String(parts[1]) : nil, isExcluded: isExcluded))
    }

    private static func invalid(_ filter: String) -> AgentError {
        AgentError(
            .invalidArgument,
            code: "invalid_filter",
            "filter '\(filter.prefix(200))' is not one of until=24h, until=2026-01-31T00:00:00Z, label=NAME, "
                + "label=NAME=VALUE, label!=NAME, label!=NAME=VALUE"
        )
    }
}

extension PruneImagesResponse {
    init(_ report: ImagePruneReport) {
        self.init(
            dryRun: report.isDryRun,
            images: report.images.map {
                Pruned(name: $0.name, digest: $0.digest.description, status: $0.status.rawValue)
            },
            reclaimed: report.reclaimed.bytes
        )
    }
}

extension DiskUsageResponse {
    init(_ report: DiskUsageReport) {
        self.init(
            images: Category(report.images),
            downloads: Category(report.downloads),
            overlays: Category(report.overlays),
            volumes: Category(report.volumes),
            logs: Category(report.logs),
            imageLimit: report.imageLimit?.bytes,
            imageList: report.imageList.map {
                ImageUsage(
                    name: $0.name,
                    digest: $0.digest.description,
                    createdAt: $0.createdAt,
                    size: $0.size.bytes,
                    shared: $0.shared.bytes,
                    unique: $0.unique.bytes,
                    instances: $0.instances
                )
            },
            instanceList: report.instanceList.map {
                InstanceUsage(
                    id: $0.id.rawValue,
                    name: $0.name.rawValue,
                    state: $0.state.rawValue,
                    overlay: $0.overlay.bytes,
                    logs: $0.logs.bytes
                )
            },
            volumeList: report.volumeList.map {
                VolumeUsage(
                    id: $0.id.rawValue,
                    name: $0.name.rawValue,
                    size: $0.size.bytes,
                    used: $0.used.bytes,
                    instances: $0.instances
                )
            }
        )
    }
}

extension DiskUsageResponse.Category {
    init(_ category: DiskUsageReport.Category) {
        self.init(
            count: category.count,
            active: category.active,
            size: category.size.bytes,
            reclaimable: category.reclaimable.bytes
        )
    }
}

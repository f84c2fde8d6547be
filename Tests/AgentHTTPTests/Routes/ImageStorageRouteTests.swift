import AgentAPI
import AgentCore
import AgentTestSupport
import Foundation
import NIOHTTP1
import Synchronization
import Testing

/// Prune, disk usage and archives over HTTP.
@Suite struct ImageStorageRouteTests {
    @Test func pruneTakesDockersFilters() async throws {
        try await TestServer.with { server async throws in
            let body =
                #"{"all":true,"dry_run":true,"filters":["until=2026-01-31T00:00:00Z","until=24h","label=a=b=c","label!=d"]}"#
            let answer = try await server.request(.POST, "/images/prune", body: body)
            #expect(answer.status == 200)
            #expect(try answer.decode(PruneImagesResponse.self).dryRun)
            let request = try #require(server.images.script.withLock { $0.pruned.first })
            #expect(request.all && request.dryRun)
            #expect(request.createdBefore == APIJSON.parse("2026-01-31T00:00:00Z"), "the stricter one counts")
            #expect(request.labels == [.init("a", value: "b=c"), .init("d", isExcluded: true)])
        }
    }

    @Test func pruneWithoutABodyRemovesWhatFailed() async throws {
        try await TestServer.with { server async throws in
            var failed = Fixtures.image("docker.io/library/failed:1")
            failed.status = .failed
            let images = [failed, Fixtures.image("docker.io/library/good:1")]
            server.images.script.withLock { $0.images = images }
            let answer = try await server.request(.POST, "/images/prune")
            let report = try answer.decode(PruneImagesResponse.self)
            #expect(report.images.map(\.name) == [failed.name] && report.reclaimed == 1 << 20 && !report.dryRun)
            #expect(server.images.list().map(\.name) == ["docker.io/library/good:1"])
        }
    }

    @Test(arguments: ["until=", "until=soon", "label=", "label==x", "dangling=true", ""])
    func unknownFilterIsNamed(filter: String) async throws {
        try await TestServer.with { server async throws in
            let answer = try await server.request(.POST, "/images/prune", body: #"{"filters":["\#(filter)"]}"#)
            #expect(answer.status == 400)
            #expect(try answer.errorCode == "invalid_filter")
            #expect(server.images.script.withLock { $0.pruned.isEmpty })
        }
    }

    @Test func diskUsageHasEachImageAndInstance() async throws {
        try await TestServer.with { server async throws in
            let usage = try await server.request(.GET, "/system/df").decode(DiskUsageResponse.self)
            #expect(usage.images.size == 6 << 20 && usage.images.reclaimable == 2 << 20)
            #expect(usage.imageLimit == 1 << 30)
            #expect(usage.imageList.map(\.unique) == [3 << 20])
            #expect(usage.instanceList.map(\.logs) == [5 << 10])
        }
    }

    @Test func archiveComesInPiecesWithItsLength() async throws {
        try await TestServer.with { server async throws in
            let pieces = (0..<20).map { [UInt8](repeating: UInt8($0), count: 100_000) }
            server.images.script.withLock { script in
                script.images = [Fixtures.image("docker.io/library/a:1")]
                script.archivePieces = pieces
            }
            let answer = try await server.request(.GET, "/images/a:1/archive")
            #expect(answer.status == 200)
            #expect(answer.body == Data(pieces.joined()))
            #expect(try await server.request(.GET, "/images/b:1/archive").status == 404)
        }
    }

    @Test func anImportThatDoesNotFitIsRefusedBeforeItIsReceived() async throws {
        try await TestServer.with { server async throws in
            server.images.script.withLock { $0.room = .kibibytes(100) }
            let answer = try await server.request(
                .POST,
                "/images/import?name=mine%3A1",
                body: String(repeating: "x", count: 200 << 10),
                headers: [("Content-Type", "application/octet-stream")]
            )
            #expect(answer.status == 507)
            #expect(try answer.errorCode == "image_storage_full")
            #expect(server.images.leftovers.isEmpty)
        }
    }
}

import Foundation
import NIOCore
import Subprocess
import SystemPackage
import Tar
import Testing

@testable import hypeman

/// The tar that is made of a layout.
@Suite struct ArchiveTests {
    private static func withLayout(_ body: (FilePath) async throws -> Void) async throws {
        let root = FilePath(NSTemporaryDirectory()).appending("layout-\(UInt64.random(in: 0...UInt64.max))")
        let blobs = root.appending("blobs").appending("sha256")
        try FileManager.default.createDirectory(atPath: blobs.string, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: root.string) }
        func write(_ name: String, _ bytes: [UInt8]) throws {
            try Data(bytes).write(to: URL(filePath: root.string).appending(path: name))
        }
        try write("oci-layout", Array(#"{"imageLayoutVersion":"1.0.0"}"#.utf8))
        try write("index.json", Array("{}".utf8))
        try write("blobs/sha256/\(String(repeating: "a", count: 64))", [UInt8](repeating: 7, count: 300_000))
        try write("blobs/sha256/\(String(repeating: "b", count: 64))", [UInt8](repeating: 8, count: 512))
        try write("unrelated", [1])
        try await body(root)
    }

    @Test func tarReadsItBack() async throws {
        try await Self.withLayout { root in
            let source = try ArchiveSource(root.string)
            var archive: [UInt8] = []
            for try await chunk in ArchiveChunks(pieces: source.pieces, progress: { _ in }) {
                archive += chunk.readableBytesView
            }
            #expect(archive.count == source.size)
            let target = root.appending("archive.tar")
            try Data(archive).write(to: URL(filePath: target.string))
            let listing = try await Subprocess.run(
                .name("tar"),
                arguments: ["-tvf", target.string],
                output: .string(limit: 1 << 16),
                error: .string(limit: 1 << 16)
            )
            #expect(listing.terminationStatus.isSuccess, "\(listing.standardError)")
            let lines = listing.standardOutput.split(separator: "\n")
            #expect(lines.count == 4)
            #expect(lines.contains { $0.contains("300000") && $0.hasSuffix(String(repeating: "a", count: 64)) })
        }
    }

    @Test func directoryThatIsNoLayoutIsRefusedWithAdvice() throws {
        let error = #expect(throws: CommandError.self) { try ArchiveSource(NSTemporaryDirectory()) }
        #expect(error?.remedy?.contains("tar -C") == true)
    }

    @Test func missingFileIsNamed() {
        let error = #expect(throws: CommandError.self) { try ArchiveSource("/nonexistent/image.tar") }
        #expect(error?.what.contains("/nonexistent/image.tar") == true)
    }

    @Test func fileThatShrinksIsNoSilentTruncation() async throws {
        try await Self.withLayout { root in
            let path = root.appending("unrelated")
            let chunks = ArchiveChunks(pieces: [.file(path, size: 10)], progress: { _ in })
            await #expect(throws: CommandError.self) { for try await _ in chunks {} }
        }
    }

    @Test func sizesBeyondEightGibibytesAreSaid() throws {
        let header = TarMember(file: "x", size: 1 << 34).header
        #expect(String(decoding: header, as: UTF8.self).contains(" size=17179869184\n"))
    }
}

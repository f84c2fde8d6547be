import AgentTestSupport
import Foundation
import Logging
import NIOPosix
import SystemPackage
import Testing
import Uploads

/// Files that uploads are received into, in tasks that somebody gives up.
@Suite struct UploadFileTests {
    private struct Broken: Error {}

    @Test func aCancelledUploadIsClosedAndRemovedAndSaysWhatWentWrong() async throws {
        try await Scratch.with { scratch in
            let path = scratch.appending("upload")
            let (received, report) = AsyncStream.makeStream(of: Void.self)
            let upload = Task {
                do {
                    try await UploadFile.with(path, on: .singleton) { file in
                        try await file.append([1, 2, 3])
                        report.finish()
                        while !Task.isCancelled { await Task.yield() }
                        throw Broken()
                    }
                } catch {
                    await UploadFile.discard(path, on: .singleton, Logger(label: "test"))
                    throw error
                }
            }
            for await _ in received {}
            #expect(FileManager.default.fileExists(atPath: path.string))
            upload.cancel()
            await #expect(throws: Broken.self) { try await upload.value }
            #expect(!FileManager.default.fileExists(atPath: path.string))
            // Neither open any more: of this process's descriptors none leads there.
            let open = try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").compactMap {
                try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\($0)")
            }
            #expect(!open.contains { $0.hasPrefix(path.string) })
        }
    }
}

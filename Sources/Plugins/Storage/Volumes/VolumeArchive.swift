import AgentCore
import Foundation
import SystemPackage
import Tar

/// A tar archive that becomes the contents of a volume.
struct VolumeArchive {
    /// Headers and padding of an archive come on top of what it contains.
    private static let overhead = 64 << 20

    private let path: FilePath
    private let size: ByteSize
    private let limits: ImageLimits

    /// - Parameters:
    ///   - path: The archive, as it is or compressed.
    ///   - size: The volume's.
    ///   - limits: What an archive may ask of this host.
    init(_ path: FilePath, for size: ByteSize, limits: ImageLimits) {
        self.path = path
        self.size = size
        var limits = limits
        limits.maximumSize = ByteSize(bytes: size.bytes * 2 + Self.overhead)
        self.limits = limits
    }

    /// Puts it into a file system that was just made; nil leaves that empty.
    ///
    /// - Throws: `invalidArgument` `invalid_archive` or `volume_too_small`.
    static func fill(
        _ disk: FilePath,
        with archive: VolumeArchive?,
        limits: ImageLimits,
        _ cancellation: Cancellation
    ) throws {
        let writer = try Ext4Writer(disk, cancellation: cancellation)
        // What cannot be given back is found out when the tree is done.
        var failure: (any Error)?
        let tree = ImageTree(.volume, limits: limits) { contents in
            do {
                try writer.release(contents)
            } catch {
                failure = error
            }
        }
        tree.root.modified = FileTime(seconds: Int64(Date().timeIntervalSince1970))
        do {
            try archive?.read(into: tree, writer, cancellation)
            if let failure { throw failure }
            try writer.finish(tree)
        } catch let full as Ext4Full {
            throw AgentError(
                .invalidArgument,
                code: "volume_too_small",
                "a volume of \(archive?.size.description ?? "that size") is too small for \(full.what); make a larger one"
            )
        } catch let failure as DecodingFailure {
            throw Self.invalid("\(failure)")
        }
    }

    private func read(into tree: ImageTree, _ writer: Ext4Writer, _ cancellation: Cancellation) throws {
        let compression = try LayerBlob.Compression.detect(in: path)
        let stream = LayerStream(
            LayerInput(LayerBlob(path: path, compression: compression, size: 0, diffID: nil), limits: limits),
            meter: ProgressMeter(status: .converting, total: nil) { _ in },
            cancellation: cancellation
        )
        defer { stream.close() }
        let reader = TarReader(stream, takesSparseFiles: true)
        tree.beginLayer(0)
        var current: [UInt8]?
        do {
            while let entry = try reader.next() {
                current = entry.name
                try tree.apply(entry) { _ in try writer.store(EntryContents(of: entry, from: reader)) }
                current = nil
            }
            guard reader.hasEndMark else {
                throw DecodingFailure(
                    reader.position == 0 ? "it is empty, and not a tar archive" : "it is cut off, its end is missing"
                )
            }
            try reader.drain()
        } catch let failure as DecodingFailure {
            let entry = current.map { "entry \(TarEntry.printable($0)): " } ?? ""
            throw Self.invalid("\(entry)\(failure)")
        }
    }

    private static func invalid(_ message: String) -> AgentError {
        AgentError(.invalidArgument, code: "invalid_archive", "the archive cannot be a volume: \(message)")
    }
}

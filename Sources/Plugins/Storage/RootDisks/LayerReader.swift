import AgentCore
import Tar

/// Reads one layer into a tree, and says of everything wrong in which layer and entry it is.
struct LayerReader {
    private let layer: LayerInput
    private let index: Int
    private let count: Int

    /// - Parameters:
    ///   - layer: The layer.
    ///   - index: Its place among the image's, from 0.
    ///   - count: How many there are.
    init(_ layer: LayerInput, index: Int, of count: Int) {
        self.layer = layer
        self.index = index
        self.count = count
    }

    func apply(to tree: ImageTree, data: ErofsDataArea, meter: ProgressMeter, cancellation: Cancellation) throws {
        let stream = LayerStream(layer, meter: meter, cancellation: cancellation)
        defer { stream.close() }
        let reader = TarReader(stream, takesSparseFiles: true)
        tree.beginLayer(index)
        var current: [UInt8]?
        do {
            while let entry = try reader.next() {
                current = entry.name
                try tree.apply(entry) { metadata in
                    try data.store(EntryContents(of: entry, from: reader), attributesSize: metadata.attributesSize)
                }
                current = nil
            }
            try reader.drain()
        } catch let failure as DecodingFailure {
            let entry = current.map { ", entry \(TarEntry.printable($0))" } ?? ""
            throw invalid("\(name)\(entry): \(failure)")
        }
        guard let expected = layer.diffID, let digest = try stream.digest() else { return }
        guard digest == expected else {
            throw invalid("\(name): its contents are \(digest), but the image's configuration says \(expected)")
        }
    }

    private var name: String { "layer \(index + 1) of \(count)" }

    private func invalid(_ message: String) -> AgentError {
        AgentError(.invalidArgument, code: "invalid_layer", message)
    }
}

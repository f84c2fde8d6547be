import AgentCore
import Tar

/// One layer of a root disk that is going to be written: where its tar comes from, and what it should be.
struct LayerInput: Sendable {
    /// Of the tar; nil for one that is not said to have any.
    let diffID: Digest?
    /// Opens the tar, unpacked, on the thread that is going to read it.
    let open: @Sendable (Cancellation, ProgressMeter) throws -> any ByteSource

    /// A layer that is in the store.
    init(_ layer: LayerBlob, limits: ImageLimits) {
        diffID = layer.diffID
        open = { cancellation, meter in
            try layer.compression.unpack(
                FileSource(layer.path, cancellation: cancellation, progress: meter),
                limits: limits
            )
        }
    }

    /// A layer that is on its way.
    init(_ arrival: LayerArrival, diffID: Digest, limits: ImageLimits) {
        self.diffID = diffID
        open = { cancellation, meter in
            try LayerBlob.Compression(magic: arrival.prefix(LayerBlob.Compression.magicLength)).unpack(
                ArrivingSource(arrival, cancellation: cancellation, progress: meter),
                limits: limits
            )
        }
    }
}

import AgentCore
import CZstd
import Tar

/// Unpacks zstd (RFC 8878), also of several frames.
final class ZstdSource: ByteSource {
    /// Windows beyond 2^27 bytes are refused: 128 MiB is what `zstd --ultra` without `--long` needs at most, and what a
    /// hostile frame could make this process allocate.
    private static let maximumWindowLog: Int32 = 27

    private let input: any ByteSource
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 16)
    private let context: OpaquePointer
    private var pending = ZSTD_inBuffer()
    private var inflation: Inflation
    private var isInFrame = false

    init(_ input: any ByteSource, limits: ImageLimits) throws {
        guard let context = ZSTD_createDCtx() else { throw AgentError(.internal, "libzstd cannot be set up") }
        self.context = context
        self.input = input
        inflation = Inflation(limits: limits)
        ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, Self.maximumWindowLog)
        pending.src = UnsafeRawPointer(buffer.baseAddress)
    }

    deinit {
        ZSTD_freeDCtx(context)
        buffer.deallocate()
    }

    func read(into output: UnsafeMutableRawBufferPointer) throws -> Int {
        guard !output.isEmpty else { return 0 }
        var target = ZSTD_outBuffer(dst: output.baseAddress, size: output.count, pos: 0)
        while target.pos == 0 {
            var isInputAtEnd = false
            if pending.pos == pending.size {
                pending.size = try input.read(into: buffer)
                pending.pos = 0
                inflation.consume(pending.size)
                isInputAtEnd = pending.size == 0
                if isInputAtEnd, !isInFrame { return 0 }
            }
            // Also without input: the decoder may still hold output.
            let result = ZSTD_decompressStream(context, &target, &pending)
            guard ZSTD_isError(result) == 0 else {
                throw DecodingFailure("its zstd stream is damaged (\(String(cString: ZSTD_getErrorName(result))))")
            }
            isInFrame = result != 0
            if isInputAtEnd, target.pos == 0, isInFrame { throw DecodingFailure("its zstd stream is cut off") }
        }
        try inflation.produce(target.pos)
        return target.pos
    }
}

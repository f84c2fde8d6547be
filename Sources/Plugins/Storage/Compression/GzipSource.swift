import AgentCore
import CZlib

/// Inflates gzip (RFC 1952), also of several members, as parallel compressors write it.
final class GzipSource: ByteSource {
    private static let inputSize = 256 << 10

    private let input: any ByteSource
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: GzipSource.inputSize, alignment: 16)
    // zlib keeps a pointer to the stream, so that it must not move.
    private let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
    private var inflation: Inflation
    private var isBetweenMembers = true
    private var members = 0
    private var isAtEnd = false

    init(_ input: any ByteSource, limits: ImageLimits) throws {
        self.input = input
        inflation = Inflation(limits: limits)
        stream.initialize(to: z_stream())
        // 16 + 15: a gzip wrapper and the largest window.
        guard inflateInit2_(stream, 16 + MAX_WBITS, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
            throw AgentError(.internal, "zlib cannot be set up")
        }
    }

    deinit {
        inflateEnd(stream)
        stream.deallocate()
        buffer.deallocate()
    }

    func read(into output: UnsafeMutableRawBufferPointer) throws -> Int {
        guard !output.isEmpty, !isAtEnd else { return 0 }
        let bytes = output.assumingMemoryBound(to: UInt8.self)
        stream.pointee.next_out = bytes.baseAddress
        stream.pointee.avail_out = UInt32(min(output.count, 1 << 30))
        let room = stream.pointee.avail_out
        while stream.pointee.avail_out == room {
            if stream.pointee.avail_in == 0, try refill() == 0 {
                guard isBetweenMembers else { throw DecodingFailure("its gzip stream is cut off") }
                isAtEnd = true
                return 0
            }
            if isBetweenMembers, members > 0 {
                // Some writers pad with zeros after the last member; gzip(1) ignores those.
                if stream.pointee.next_in.pointee == 0 {
                    try skipPadding()
                    return 0
                }
                inflateReset(stream)
            }
            isBetweenMembers = false
            switch inflate(stream, Z_NO_FLUSH) {
            case Z_OK, Z_BUF_ERROR: break
            case Z_STREAM_END:
                isBetweenMembers = true
                members += 1
            default:
                let reason = stream.pointee.msg.map { String(cString: $0) } ?? "no reason given"
                throw DecodingFailure("its gzip stream is damaged (\(reason))")
            }
        }
        let count = Int(room - stream.pointee.avail_out)
        try inflation.produce(count)
        return count
    }

    private func refill() throws -> Int {
        let count = try input.read(into: buffer)
        inflation.consume(count)
        stream.pointee.next_in = buffer.assumingMemoryBound(to: UInt8.self).baseAddress
        stream.pointee.avail_in = UInt32(count)
        return count
    }

    private func skipPadding() throws {
        isAtEnd = true
        repeat {
            let rest = UnsafeBufferPointer(start: stream.pointee.next_in, count: Int(stream.pointee.avail_in))
            guard rest.allSatisfy({ $0 == 0 }) else {
                throw DecodingFailure("something that is not gzip follows its gzip stream")
            }
        } while try refill() > 0
    }
}

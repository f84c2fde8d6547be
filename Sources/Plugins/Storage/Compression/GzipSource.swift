import AgentCore
import CIsal
import Glibc
import Tar

/// Inflates gzip (RFC 1952), also of several members, as parallel compressors write it.
///
/// By ISA-L, which takes a third of zlib's time; checksums and lengths of every member are verified.
final class GzipSource: ByteSource {
    private static let inputSize = 256 << 10

    private let input: any ByteSource
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: GzipSource.inputSize, alignment: 16)
    // Some 90 KB, with pointers into the buffers: it must neither move nor be copied.
    private let state = UnsafeMutablePointer<inflate_state>.allocate(capacity: 1)
    private var inflation: Inflation
    private var isBetweenMembers = true
    private var members = 0
    private var isAtEnd = false

    init(_ input: any ByteSource, limits: ImageLimits) {
        self.input = input
        inflation = Inflation(limits: limits)
        // isal_inflate_init() leaves the pointers and counts of the input as they are.
        memset(state, 0, MemoryLayout<inflate_state>.size)
        isal_inflate_init(state)
        state.pointee.crc_flag = UInt32(ISAL_GZIP)
    }

    deinit {
        state.deallocate()
        buffer.deallocate()
    }

    func read(into output: UnsafeMutableRawBufferPointer) throws -> Int {
        guard !output.isEmpty, !isAtEnd else { return 0 }
        let room = UInt32(min(output.count, 1 << 30))
        state.pointee.next_out = output.assumingMemoryBound(to: UInt8.self).baseAddress
        state.pointee.avail_out = room
        while state.pointee.avail_out == room {
            if isBetweenMembers, try !beginMember() {
                isAtEnd = true
                return 0
            }
            try step(room: room)
        }
        let count = Int(room - state.pointee.avail_out)
        try inflation.produce(count)
        return count
    }

    /// Inflates what is there, and asks for more if nothing came of it.
    private func step(room: UInt32) throws {
        let before = state.pointee.avail_in
        let status = isal_inflate(state)
        guard status == ISAL_DECOMP_OK else {
            throw DecodingFailure("its gzip stream is damaged (\(Self.reason(status)))")
        }
        if state.pointee.block_state == ISAL_BLOCK_FINISH {
            isBetweenMembers = true
            members += 1
        } else if state.pointee.avail_out == room {
            if state.pointee.avail_in == 0 {
                guard try refill() > 0 else { throw DecodingFailure("its gzip stream is cut off") }
            } else if state.pointee.avail_in == before {
                throw DecodingFailure("its gzip stream is damaged (it does not go on)")
            }
        }
    }

    /// Starts the next member; false if there is none.
    private func beginMember() throws -> Bool {
        if state.pointee.avail_in == 0, try refill() == 0 { return false }
        if members > 0 {
            // Some writers pad with zeros after the last member; gzip(1) ignores those.
            if state.pointee.next_in.pointee == 0 {
                try skipPadding()
                return false
            }
            isal_inflate_reset(state)
            state.pointee.crc_flag = UInt32(ISAL_GZIP)
        }
        isBetweenMembers = false
        return true
    }

    private func refill() throws -> Int {
        let count = try input.read(into: buffer)
        inflation.consume(count)
        state.pointee.next_in = buffer.assumingMemoryBound(to: UInt8.self).baseAddress
        state.pointee.avail_in = UInt32(count)
        return count
    }

    private func skipPadding() throws {
        repeat {
            let rest = UnsafeBufferPointer(start: state.pointee.next_in, count: Int(state.pointee.avail_in))
            guard rest.allSatisfy({ $0 == 0 }) else {
                throw DecodingFailure("something that is not gzip follows its gzip stream")
            }
        } while try refill() > 0
    }

    private static func reason(_ status: Int32) -> String {
        switch status {
        case ISAL_INVALID_WRAPPER: "a member does not begin as gzip does"
        case ISAL_UNSUPPORTED_METHOD: "it is not compressed by deflate"
        case ISAL_INCORRECT_CHECKSUM: "the checksum is wrong"
        case ISAL_INVALID_LOOKBACK: "it points back before its beginning"
        case ISAL_INVALID_BLOCK, ISAL_INVALID_SYMBOL: "a block is invalid"
        default: "ISA-L's status \(status)"
        }
    }
}

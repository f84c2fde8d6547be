extension GuestOutput {
    /// Bytes before the output itself in a frame's payload.
    private static let headerSize = 17

    /// The payload of a ``GuestFrame/Kind/output`` frame: stream (1 stdout, 2 stderr), offset and uptime in microseconds
    /// (eight bytes each, big-endian), then the bytes.
    public var framePayload: [UInt8] {
        var payload: [UInt8] = []
        payload.reserveCapacity(GuestOutput.headerSize + bytes.count)
        payload.append(stream == .stdout ? 1 : 2)
        for value in [offset, uptimeMicroseconds] {
            for shift in stride(from: 56, through: 0, by: -8) {
                payload.append(UInt8(truncatingIfNeeded: value >> shift))
            }
        }
        payload.append(contentsOf: bytes)
        return payload
    }

    /// Reads ``framePayload``.
    public init(framePayload payload: [UInt8]) throws(GuestFrameError) {
        guard payload.count >= GuestOutput.headerSize else {
            throw GuestFrameError(reason: "an output frame that is too short")
        }
        switch payload[0] {
        case 1: stream = .stdout
        case 2: stream = .stderr
        default: throw GuestFrameError(reason: "an output frame of stream \(payload[0])")
        }
        offset = payload[1..<9].reduce(0) { $0 << 8 | UInt64($1) }
        uptimeMicroseconds = payload[9..<17].reduce(0) { $0 << 8 | UInt64($1) }
        bytes = Array(payload[GuestOutput.headerSize...])
        guard !offset.addingReportingOverflow(UInt64(bytes.count)).overflow else {
            throw GuestFrameError(reason: "an output frame past the end of counting")
        }
    }
}

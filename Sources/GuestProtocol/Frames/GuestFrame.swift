/// A frame inside the body of a request or a response: one byte of type, four of length (big-endian), and a payload.
///
/// HTTP/2's own frames carry no meaning to an application, so a body that mixes kinds of content brings its own.
public struct GuestFrame: Sendable, Hashable {
    /// What the payload is.
    ///
    /// A receiver ignores types that it does not know, so that new ones can be added.
    public struct Kind: RawRepresentable, Sendable, Hashable {
        public var rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }

        /// Host to guest, the first in a body: what is asked for as JSON, such as an ``ExecRequest``.
        public static let request = Kind(rawValue: 0x01)
        /// Host to guest: bytes for stdin, of a command or, in the body of an attach, of the program.
        public static let stdin = Kind(rawValue: 0x02)
        /// Host to guest: end of file on stdin; no payload.
        public static let stdinEnd = Kind(rawValue: 0x03)
        /// Host to guest: a ``TerminalSize`` as JSON.
        public static let resize = Kind(rawValue: 0x04)
        /// Host to guest: the number of a signal, one byte.
        public static let signal = Kind(rawValue: 0x05)
        /// Guest to host: bytes from stdout.
        public static let stdout = Kind(rawValue: 0x11)
        /// Guest to host: bytes from stderr.
        public static let stderr = Kind(rawValue: 0x12)
        /// Guest to host, the last in the body of an exec: a ``GuestExit`` as JSON.
        public static let exit = Kind(rawValue: 0x13)
        /// Guest to host: a ``GuestEvent`` as JSON.
        public static let event = Kind(rawValue: 0x21)
        /// Guest to host: a stretch of the program's output, see ``GuestOutput/init(framePayload:)``.
        public static let output = Kind(rawValue: 0x22)
        /// Either way: bytes of a tar archive.
        public static let archive = Kind(rawValue: 0x31)
        /// Host to guest: the archive is whole; no payload.
        public static let archiveEnd = Kind(rawValue: 0x32)
        /// Guest to host, the last: a ``GuestFilesResult`` as JSON.
        public static let filesResult = Kind(rawValue: 0x33)
    }

    /// Bytes before the payload.
    public static let headerSize = 5
    /// The longest payload, in bytes; a longer one is a breach of the protocol.
    public static let maximumPayload = 1 << 20

    public var kind: Kind
    public var payload: [UInt8]

    public init(_ kind: Kind, _ payload: [UInt8] = []) {
        self.kind = kind
        self.payload = payload
    }

    /// The header that goes before a payload of `count` bytes.
    public static func header(_ kind: Kind, count: Int) -> [UInt8] {
        precondition(count <= maximumPayload)
        return [
            kind.rawValue, UInt8(truncatingIfNeeded: count >> 24), UInt8(truncatingIfNeeded: count >> 16),
            UInt8(truncatingIfNeeded: count >> 8), UInt8(truncatingIfNeeded: count),
        ]
    }

    /// The frame as it goes over the wire.
    public var bytes: [UInt8] { GuestFrame.header(kind, count: payload.count) + payload }
}

/// A breach of the framing by the other end.
public struct GuestFrameError: Error, Sendable, Hashable, CustomStringConvertible {
    /// What was wrong.
    public var reason: String
    public init(reason: String) { self.reason = reason }
    public var description: String { reason }
}

/// The guest's look-out for the host's greetings.
///
/// It never holds bytes back: the first part of a greeting is passed on like any others, to a session that is about to
/// end. Held back, the last byte of a message that happens to look like a greeting's first would never arrive.
public struct SessionScanner: Sendable {
    /// What came next in the stream.
    public enum Element: Sendable, Equatable {
        /// The first `count` of the bytes belong to the present session, if there is one.
        case data(count: Int)
        /// The first `count` of the bytes end a greeting with this nonce; what follows is a new session.
        case session(count: Int, nonce: [UInt8])
    }

    private var matcher: MarkerMatcher
    private var nonce: [UInt8]?

    /// Makes one for the greetings of a boot.
    public init(secret: String) {
        matcher = MarkerMatcher(pattern: SessionMarker.greetingPrefix(secret: secret))
    }

    /// Looks at the next bytes.
    ///
    /// - Returns: What they begin with. Call again with the bytes after `count` until there are none left.
    public mutating func next(in bytes: UnsafeRawBufferPointer) -> Element {
        guard var nonce else {
            guard let count = matcher.advance(over: bytes) else { return .data(count: bytes.count) }
            nonce = []
            return .data(count: count)
        }
        let missing = min(SessionMarker.tokenSize - nonce.count, bytes.count)
        nonce.append(contentsOf: bytes[..<missing])
        guard nonce.count == SessionMarker.tokenSize else {
            self.nonce = nonce
            return .data(count: missing)
        }
        self.nonce = nil
        return .session(count: missing, nonce: nonce)
    }
}

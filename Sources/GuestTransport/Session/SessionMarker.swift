/// The bytes that begin a session on a stream that is never interrupted.
///
/// A virtio-serial port carries one unbroken stream of bytes, however often the agent on the host restarts: neither end
/// is told for certain that the other has begun anew, and the rest of what was on its way is still to come. So the host
/// begins each session with a greeting that only it can make, since it contains the boot's secret, and throws away
/// everything until the guest's answer to that very greeting. The guest looks for greetings at all times.
///
///     greeting: 0xF5 "hypeman-session:" secret (32 hexadecimal digits) nonce (32 hexadecimal digits)
///     answer:   0xF5 "hypeman-answer:" nonce
///
/// After it, HTTP/2 with prior knowledge (RFC 9113, section 3.3) runs in both directions, the guest as its server.
public enum SessionMarker {
    /// Characters of a secret, and of a nonce.
    public static let tokenSize = 32

    /// What a greeting begins with, the secret included.
    ///
    /// 0xF5 never occurs in UTF-8 and only here in a marker.
    public static func greetingPrefix(secret: String) -> [UInt8] {
        [0xF5] + Array("hypeman-session:\(secret)".utf8)
    }

    /// The whole greeting.
    public static func greeting(secret: String, nonce: [UInt8]) -> [UInt8] {
        greetingPrefix(secret: secret) + nonce
    }

    /// The answer to a greeting.
    public static func answer(nonce: [UInt8]) -> [UInt8] {
        [0xF5] + Array("hypeman-answer:".utf8) + nonce
    }

    /// A nonce that was never used before.
    public static func freshNonce() -> [UInt8] {
        let digits = Array("0123456789abcdef".utf8)
        var generator = SystemRandomNumberGenerator()
        return (0..<tokenSize).map { _ in digits[Int.random(in: 0..<digits.count, using: &generator)] }
    }

    /// Whether `secret` has the form of a session's secret.
    public static func isValid(secret: String) -> Bool {
        secret.utf8.count == tokenSize
            && secret.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
    }
}

import AgentCore
import NIOCore

#if canImport(Glibc)
import Glibc
#else
import Musl
#endif

/// A `multipart/form-data` body (RFC 7578, RFC 2046), taken apart as it comes: nothing but a part's headers and a possible
/// delimiter is held.
struct MultipartParser {
    enum Event: Equatable {
        /// A field begins; what follows until the next one is its contents.
        case field(String)
        case contents(ByteBuffer)
    }

    private enum State {
        case preamble
        case headers
        case contents
        case end
    }

    private static let maximumHeaders = 16 << 10
    private static let maximumParts = 64

    private let delimiter: [UInt8]
    private var state = State.preamble
    private var parts = 0
    /// Begins with the line break that the first delimiter need not have.
    private var pending: [UInt8] = [13, 10]

    /// - Parameter contentType: The request's header.
    /// - Throws: `invalidArgument` `invalid_form`.
    init(contentType: String) throws(AgentError) {
        var boundary: Substring?
        for parameter in contentType.split(separator: ";").dropFirst() {
            let parts = parameter.split(separator: "=", maxSplits: 1)
            guard parts.count == 2, parts[0].filter({ $0 != " " }).lowercased() == "boundary" else { continue }
            boundary = parts[1]
            while boundary?.last == " " { boundary?.removeLast() }
            if let quoted = boundary, quoted.count > 2, quoted.first == "\"", quoted.last == "\"" {
                boundary = quoted.dropFirst().dropLast()
            }
        }
        guard let boundary, (1...70).contains(boundary.utf8.count) else {
            throw Self.invalid("the Content-Type has no boundary of 1 to 70 characters")
        }
        delimiter = Array("\r\n--\(boundary)".utf8)
    }

    /// Whether the last delimiter was seen.
    var isAtEnd: Bool { state == .end }

    /// Takes the next bytes.
    ///
    /// - Throws: `invalidArgument` `invalid_form`.
    mutating func take(_ bytes: ByteBuffer) throws(AgentError) -> [Event] {
        guard state != .end else { return [] }
        pending += bytes.readableBytesView
        var events: [Event] = []
        while try step(&events) {}
        return events
    }

    /// - Returns: Whether there may be more to find in what is there.
    private mutating func step(_ events: inout [Event]) throws(AgentError) -> Bool {
        switch state {
        case .preamble, .contents:
            guard let index = index(of: delimiter) else {
                let settled = max(0, pending.count - delimiter.count + 1)
                pass(settled, &events)
                return false
            }
            guard pending.count >= index + delimiter.count + 2 else {
                pass(index, &events)
                return false
            }
            pass(index, &events)
            let mark = pending[delimiter.count..<(delimiter.count + 2)]
            pending.removeFirst(delimiter.count + 2)
            if mark.elementsEqual("--".utf8) {
                state = .end
                return false
            }
            guard mark.elementsEqual("\r\n".utf8) else {
                throw Self.invalid("a delimiter is not followed by a line break")
            }
            state = .headers
            return true
        case .headers:
            guard let end = index(of: Array("\r\n\r\n".utf8)) else {
                guard pending.count <= Self.maximumHeaders else { throw Self.invalid("a part's headers are too long") }
                return false
            }
            parts += 1
            guard parts <= Self.maximumParts else { throw Self.invalid("it has more than \(Self.maximumParts) parts") }
            events.append(.field(try Self.name(String(decoding: pending[..<end], as: UTF8.self))))
            // The line break stays: a part that is empty ends at once.
            pending.removeFirst(end + 4)
            state = .contents
            return true
        case .end: return false
        }
    }

    /// Lets go of the first bytes: they are contents, or stood before the first part.
    private mutating func pass(_ count: Int, _ events: inout [Event]) {
        guard count > 0 else { return }
        if state == .contents { events.append(.contents(ByteBuffer(bytes: pending[..<count]))) }
        pending.removeFirst(count)
    }

    private func index(of wanted: [UInt8]) -> Int? {
        pending.withUnsafeBytes { bytes in
            guard let start = bytes.baseAddress, let first = wanted.first else { return nil }
            var offset = 0
            while offset + wanted.count <= bytes.count {
                guard let found = memchr(start + offset, Int32(first), bytes.count - wanted.count + 1 - offset) else {
                    return nil
                }
                offset = UnsafeRawPointer(found) - start
                if memcmp(found, wanted, wanted.count) == 0 { return offset }
                offset += 1
            }
            return nil
        }
    }

    /// The field's name in a part's headers.
    private static func name(_ headers: String) throws(AgentError) -> String {
        for line in headers.split(separator: "\r\n") {
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2, parts[0].lowercased() == "content-disposition" else { continue }
            for parameter in parts[1].split(separator: ";") {
                let pair = parameter.drop { $0 == " " }.split(separator: "=", maxSplits: 1)
                guard pair.count == 2, pair[0].lowercased() == "name" else { continue }
                return String(pair[1].filter { $0 != "\"" })
            }
        }
        throw invalid("a part has no name")
    }

    private static func invalid(_ why: String) -> AgentError {
        AgentError(.invalidArgument, code: "invalid_form", "the body is no form that can be read: \(why)")
    }
}

import AgentAPI
import HTTPTypes
import HummingbirdCore
import NIOCore

extension Response {
    /// A JSON answer.
    static func json(_ value: some Encodable, status: HTTPResponse.Status = .ok) throws -> Response {
        let data = try APIJSON.encode(value)
        return Response(
            status: status,
            headers: [.contentType: "application/json"],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: data))
        )
    }

    /// A JSON answer that a client may keep: it has an entity tag, and is 304 to one who has it already.
    static func cacheable(_ value: some Encodable, for call: Call) throws -> Response {
        let data = try APIJSON.encode(value)
        let tag = EntityTag(of: data).description
        if let known = call.headers[.ifNoneMatch], EntityTag.list(known, contains: tag) {
            return Response(status: .notModified, headers: [.eTag: tag])
        }
        return Response(
            status: .ok,
            headers: [.contentType: "application/json", .eTag: tag],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: data))
        )
    }

    /// 204.
    static var empty: Response { Response(status: .noContent) }

    /// The body of an error; never fails, whatever the text contains.
    static func error(_ error: ErrorResponse, status: HTTPResponse.Status, headers: HTTPFields = [:]) -> Response {
        let data =
            (try? APIJSON.encode(error))
            // Three strings always encode; if that ever changes, the client still gets valid JSON.
            ?? .init(#"{"code":"internal_error","message":"the error could not be written down"}"#.utf8)
        var headers = headers
        headers[.contentType] = "application/json"
        return Response(status: status, headers: headers, body: ResponseBody(byteBuffer: ByteBuffer(bytes: data)))
    }
}

/// A weak entity tag (RFC 9110, 8.8.3) over a body's bytes.
struct EntityTag: CustomStringConvertible {
    private let hash: UInt64

    /// FNV-1a, 64 bits: quick, and a collision costs one poll of an answer that did change.
    init(of bytes: some Sequence<UInt8>) {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        self.hash = hash
    }

    var description: String { "W/\"\(String(hash, radix: 16))\"" }

    /// Whether an If-None-Match header names a tag.
    static func list(_ header: String, contains tag: String) -> Bool {
        header.split(separator: ",").contains { item in
            let item = item.drop { $0 == " " }
            return item == "*" || item == tag[...] || "W/\(item)" == tag
        }
    }
}

import AgentAPI
import AgentCore
import Foundation
import HTTPTypes
import HummingbirdCore
import Logging
import NIOCore

/// An error as clients of registries understand it (OCI distribution-spec 1.1, "Error Codes").
struct RegistryError: Error {
    enum Code: String, Sendable {
        case blobUnknown = "BLOB_UNKNOWN"
        case blobUploadInvalid = "BLOB_UPLOAD_INVALID"
        case blobUploadUnknown = "BLOB_UPLOAD_UNKNOWN"
        case digestInvalid = "DIGEST_INVALID"
        case manifestBlobUnknown = "MANIFEST_BLOB_UNKNOWN"
        case manifestInvalid = "MANIFEST_INVALID"
        case manifestUnknown = "MANIFEST_UNKNOWN"
        case nameInvalid = "NAME_INVALID"
        case nameUnknown = "NAME_UNKNOWN"
        case sizeInvalid = "SIZE_INVALID"
        case unauthorized = "UNAUTHORIZED"
        case denied = "DENIED"
        case unsupported = "UNSUPPORTED"
        case tooManyRequests = "TOOMANYREQUESTS"
        /// Docker's word for what has none.
        case unknown = "UNKNOWN"
    }

    var code: Code
    var status: HTTPResponse.Status
    var message: String
    var headers: HTTPFields

    init(_ code: Code, status: HTTPResponse.Status = .badRequest, _ message: String, headers: HTTPFields = [:]) {
        self.code = code
        self.status = status
        self.message = message
        self.headers = headers
    }

    /// What the client is told of an error of the agent.
    init(_ error: AgentError) {
        let (code, status): (Code, HTTPResponse.Status) =
            switch (error.kind, error.code) {
            case (_, "invalid_name"): (.nameInvalid, .badRequest)
            case (_, "upload_unknown"): (.blobUploadUnknown, .notFound)
            case (_, "upload_offset"): (.blobUploadInvalid, .rangeNotSatisfiable)
            case (_, "digest_mismatch"): (.digestInvalid, .badRequest)
            case (_, "truncated_body"): (.sizeInvalid, .badRequest)
            case (_, "blob_too_large"), (_, "manifest_too_large"): (.sizeInvalid, .contentTooLarge)
            case (_, "invalid_manifest"), (_, "platform_not_found"): (.manifestInvalid, .badRequest)
            case (_, "manifest_blob_unknown"): (.manifestBlobUnknown, .notFound)
            case (.notFound, _): (.nameUnknown, .notFound)
            case (.unauthenticated, _): (.unauthorized, .unauthorized)
            case (.permissionDenied, _): (.denied, .forbidden)
            case (.busy, _): (.denied, .conflict)
            case (.rateLimited, _): (.tooManyRequests, .tooManyRequests)
            case (let kind, _): (.unknown, kind.status)
            }
        var headers = HTTPFields()
        // Basic alone: docker, podman, skopeo and Go's libraries send a login's password with it, and have no use for
        // Bearer without a server that makes tokens of passwords.
        if error.kind == .unauthenticated { headers[.wwwAuthenticate] = #"Basic realm="hypeman""# }
        if error.kind == .rateLimited { headers[.retryAfter] = "60" }
        self.init(code, status: status, error.response.message, headers: headers)
    }

    /// The answer to a failure; what the client is not told is in the log.
    static func response(to error: any Error, logger: Logger) -> Response {
        switch error {
        case let error as RegistryError: return error.response
        case let error as AgentError:
            if error.kind == .internal { logger.error("registry request failed", metadata: ["error": "\(error)"]) }
            return RegistryError(error).response
        case let error as TransportError:
            return RegistryError(.unsupported, status: error.status, error.message, headers: error.headers).response
        case is CancellationError:
            return RegistryError(.unknown, status: .serviceUnavailable, "the request was cancelled").response
        default:
            logger.error("registry request failed", metadata: ["error": "\(error)"])
            return RegistryError(.unknown, status: .internalServerError, "the agent failed; its log says more").response
        }
    }

    private struct Body: Encodable {
        struct Item: Encodable {
            var code: String
            var message: String
        }

        var errors: [Item]
    }

    var response: Response {
        var headers = headers
        headers[.contentType] = "application/json"
        let data =
            (try? APIJSON.encode(Body(errors: [Body.Item(code: code.rawValue, message: message)])))
            // Two strings always encode; if that ever changes, the client still gets valid JSON.
            ?? Data(#"{"errors":[{"code":"UNKNOWN","message":"the error could not be written down"}]}"#.utf8)
        return Response(status: status, headers: headers, body: ResponseBody(byteBuffer: ByteBuffer(bytes: data)))
    }
}

extension HTTPField.Name {
    static var dockerContentDigest: HTTPField.Name { named("Docker-Content-Digest") }
    static var dockerDistributionAPIVersion: HTTPField.Name { named("Docker-Distribution-API-Version") }
    static var link: HTTPField.Name { named("Link") }
    static var dockerUploadUUID: HTTPField.Name { named("Docker-Upload-UUID") }

    private static func named(_ name: String) -> HTTPField.Name {
        guard let name = HTTPField.Name(name) else { preconditionFailure("'\(name)' is no header's name") }
        return name
    }
}

import AgentCore
import Foundation
import NIOCore
import NIOFoundationCompat
import NIOHTTP1
import NIOPosix
import Synchronization
import SystemPackage

/// The REST interface of one Cloud Hypervisor, over its API socket.
///
/// Its server answers one request after the other and takes few connections, so there is one, which is kept, and requests
/// go in order: each waits for the one before. A connection that was lost between two requests is made again; a request
/// that was lost with it is not repeated, for it may have been carried out.
final class CloudHypervisorAPI: Sendable {
    private let socket: FilePath
    private let instance: InstanceID
    private let group: any EventLoopGroup
    private let turns = FairSemaphore(width: 1)
    private let connection = Mutex<APIConnection?>(nil)

    init(socket: FilePath, instance: InstanceID, on group: any EventLoopGroup) {
        self.socket = socket
        self.instance = instance
        self.group = group
    }

    deinit {
        connection.withLock { $0?.close() }
    }

    /// Sends a request whose answer says nothing, or nothing of interest.
    func put(_ action: String, deadline: Duration = .seconds(10)) async throws {
        _ = try await send(.PUT, action, nil, deadline)
    }

    /// The same with a body.
    func put(_ action: String, _ body: some Encodable & Sendable, deadline: Duration = .seconds(10)) async throws {
        let data: Data
        do {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            data = try encoder.encode(body)
        } catch {
            throw AgentError(.internal, "what \(action) is to be sent cannot be written as JSON", cause: error)
        }
        _ = try await send(.PUT, action, ByteBuffer(bytes: data), deadline)
    }

    /// Asks for a value; fields that are not known are ignored.
    func get<Value: Decodable & Sendable>(
        _ action: String,
        as type: Value.Type = Value.self,
        deadline: Duration = .seconds(10)
    ) async throws -> Value {
        let body = try await send(.GET, action, nil, deadline)
        do {
            return try JSONDecoder().decode(type, from: Data(body.readableBytesView))
        } catch {
            throw AgentError(
                .unavailable,
                code: "vmm_protocol",
                "Cloud Hypervisor of instance \(instance) answers \(action) with something else",
                cause: error
            )
        }
    }

    /// Ends the connection; the VMM goes on.
    func close() {
        connection.withLock { $0.take() }?.close()
    }

    /// - Throws: ``AgentError`` `timeout` `vmm_timeout` when no answer comes in time, counted from when it is this
    ///   request's turn; `unavailable` `vmm_connection_lost` when nobody listens or the answer is not HTTP; `invalidState`
    ///   `vmm_refused` with an ``APIRefusal``; `CancellationError`.
    private func send(
        _ method: HTTPMethod,
        _ action: String,
        _ body: ByteBuffer?,
        _ deadline: Duration
    ) async throws -> ByteBuffer {
        var head = HTTPRequestHead(version: .http1_1, method: method, uri: "/api/v1/\(action)")
        head.headers.add(name: "Host", value: "localhost")
        head.headers.add(name: "Accept", value: "application/json")
        if body != nil { head.headers.add(name: "Content-Type", value: "application/json") }
        // Without a length NIO would send a PUT in chunks, which the VMM's server does not take.
        if method == .PUT { head.headers.add(name: "Content-Length", value: "\(body?.readableBytes ?? 0)") }
        let response: APIResponse
        do {
            response = try await turns.withTurn {
                try await connected().send(head, body, deadline: deadline)
            }
        } catch let error as CancellationError {
            throw error
        } catch APIConnectionFailure.late {
            throw AgentError(
                .timeout,
                code: "vmm_timeout",
                "Cloud Hypervisor of instance \(instance) did not answer \(action) in \(deadline)"
            )
        } catch {
            throw AgentError(
                .unavailable,
                code: "vmm_connection_lost",
                "the connection to the Cloud Hypervisor of instance \(instance) is lost, in \(action)",
                cause: error
            )
        }
        guard (200..<300).contains(response.status) else {
            throw AgentError(
                .invalidState,
                code: "vmm_refused",
                "Cloud Hypervisor of instance \(instance) refuses \(action)",
                cause: APIRefusal(status: response.status, body: response.body.readableBytesView)
            )
        }
        return response.body
    }

    private func connected() async throws -> APIConnection {
        if let connection = connection.withLock({ $0 }), connection.isActive { return connection }
        let made = try await APIConnection.connect(to: socket, on: group)
        connection.withLock { $0 = made }
        return made
    }
}

/// Why a VMM would not do what it was asked to, in its own words.
struct APIRefusal: Error, Equatable, CustomStringConvertible {
    /// Bytes of it that are kept.
    private static let limit = 4 << 10

    /// The HTTP status.
    var status: Int
    /// From the general to the cause.
    var words: [String]

    /// Reads an answer's body: an array of texts in recent versions, one text in others.
    init(status: Int, body: some Collection<UInt8>) {
        self.status = status
        let body = Data(body.prefix(Self.limit))
        if let words = try? JSONDecoder().decode([String].self, from: body) {
            self.words = words.filter { !$0.isEmpty }
        } else {
            let text = String(decoding: body, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
            words = text.isEmpty ? [] : [text]
        }
    }

    var description: String {
        words.isEmpty ? "HTTP status \(status), without a word" : words.joined(separator: ": ")
    }

    /// Whether it still reads the memory that the machine was taken up from (VmRestoring of Cloud Hypervisor's VMM).
    var saysThatItIsRestoring: Bool { words.contains { $0.lowercased().contains("restor") } }

    /// Its words for a disk whose OFD lock another process has (docs/disk_locking.md of Cloud Hypervisor).
    var isDiskLock: Bool {
        words.contains { word in
            ["locking disk image", "AlreadyLocked", "already locked"].contains { word.contains($0) }
                || (word.contains("lock") && word.contains("for disk image"))
        }
    }
}

extension AgentError {
    /// The VMM's refusal that this comes from.
    var refusal: APIRefusal? { cause as? APIRefusal }
}

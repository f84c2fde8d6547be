import AgentAPI
import AgentCore
import GuestProtocol
import Logging
import NIOCore
import NIOHTTP1
import NIOWebSocket

import struct Foundation.Data

/// Serves the WebSockets of copies, each of which is one.
struct CopyService: Sendable {
    /// How files are put into frames.
    enum Framing: Sendable {
        /// What existing clients speak: a connection for each file that goes in; headers and contents of what comes out.
        case plain
        /// ``CopyProtocol``.
        case archive

        /// The one to use for the subprotocols that a client offers.
        init(offered: [String]) {
            self = offered.contains(CopyProtocol.name) ? .archive : .plain
        }

        /// What the handshake's answer must say about it.
        var responseHeaders: HTTPHeaders {
            self == .archive ? ["Sec-WebSocket-Protocol": CopyProtocol.name] : [:]
        }
    }

    /// The client has gone; nobody is left to be told.
    struct ClientLeft: Error {}

    let instances: any InstanceFileOperations
    let logger: Logger

    /// Runs one copy to its end; it is given up when the client leaves or the agent stops.
    func serve(
        _ channel: NIOAsyncChannel<WebSocketFrame, WebSocketFrame>,
        reference: String,
        framing: Framing,
        peer: Peer
    ) async {
        await SocketSession.serve(channel, peer: peer, logger: logger) { messages, socket in
            var outcome = ""
            var path: String?
            do {
                let bytes = try await SocketSession.first(messages)
                let body = try Self.body(bytes)
                path = body.guestPath
                let files = InstanceFiles(
                    instances: instances,
                    reference: reference,
                    patience: SocketSession.patience(body.waitForAgent)
                )
                try await run(body, files, framing, messages, socket)
                outcome = "\(body.direction) done"
            } catch is ClientLeft {
                outcome = "client left"
            } catch {
                let error = AgentError.wrapping(error, "the copy failed")
                if error.kind == .internal { logger.error("copy failed", metadata: ["error": "\(error)"]) }
                let answer = CopyOutcome.error(code: error.code, message: error.response.message, path: path)
                await socket.sendIfPossible([Self.text(answer)])
                outcome = error.message
            }
            logger.info(
                "copy ended",
                metadata: ["instance": "\(reference)", "peer": "\(peer.description)", "outcome": "\(outcome)"]
            )
        }
    }

    private static func body(_ bytes: [UInt8]) throws(AgentError) -> CopyBody {
        do throws(FieldError) {
            return try CopyBody(try APIJSON.fields(Data(bytes)))
        } catch {
            throw error.agentError
        }
    }

    private func run(
        _ body: CopyBody,
        _ files: InstanceFiles,
        _ framing: Framing,
        _ messages: Handoff<MessageReader.Message>,
        _ socket: ExecSocket
    ) async throws {
        switch (body.direction, framing) {
        case (.stat, _):
            var info = try await files.instances.pathInfo(
                files.reference,
                GuestPathRequest(path: body.guestPath, followsLink: body.followLinks ?? false),
                patience: files.patience
            )
            info.type = "stat"
            try await Self.send([Self.text(info)], socket)
        case (.to, .archive):
            let request = GuestWriteRequest(path: body.guestPath, keepsOwners: body.archive ?? false)
            let result = try await CopyUpload(messages).run(try await files.write(request))
            try await Self.send(
                [Self.text(CopyOutcome.result(bytes: result.bytes ?? 0, warnings: result.warnings ?? []))],
                socket
            )
        case (.from, .archive):
            let request = GuestReadRequest(
                path: body.guestPath,
                followsLink: body.followLinks ?? false,
                name: body.name
            )
            for try await event in try await files.read(request) {
                switch event {
                case .bytes(let bytes): try await Self.send([Self.binary(bytes)], socket)
                case .finished(let result):
                    let end = CopyOutcome.end(final: true, warnings: result.warnings ?? [])
                    try await Self.send([Self.text(end)], socket)
                }
            }
        case (.to, .plain):
            try await PlainUpload(body: body, files: files).run(messages, socket)
        case (.from, .plain):
            try await PlainDownload(body: body, files: files).run(socket)
        }
    }

    // MARK: Frames

    static func text(_ value: some Encodable) -> WebSocketFrame {
        let data = (try? APIJSON.encode(value)) ?? Data("{}".utf8)
        return WebSocketFrame(fin: true, opcode: .text, data: ByteBuffer(bytes: data))
    }

    static func binary(_ bytes: some Collection<UInt8>) -> WebSocketFrame {
        WebSocketFrame(fin: true, opcode: .binary, data: ByteBuffer(bytes: bytes))
    }

    /// Sends frames.
    ///
    /// - Throws: ``ClientLeft``.
    static func send(_ frames: [WebSocketFrame], _ socket: ExecSocket) async throws {
        do { try await socket.write(frames) } catch { throw ClientLeft() }
    }
}

/// The files of one instance, for one session.
struct InstanceFiles: Sendable {
    let instances: any InstanceFileOperations
    let reference: String
    let patience: Duration

    func status(_ request: GuestPathRequest) async throws -> GuestPathStatus {
        try await instances.pathStatus(reference, request, patience: patience)
    }

    func read(_ request: GuestReadRequest) async throws -> AsyncThrowingStream<GuestArchiveEvent, any Error> {
        try await instances.copyFrom(reference, request, patience: patience)
    }

    func write(_ request: GuestWriteRequest) async throws -> any GuestArchiveInput {
        try await instances.copyTo(reference, request, patience: patience)
    }
}

import AgentAPI
import AgentCore
import GuestProtocol

import struct Foundation.Data

/// What a client sends, on its way into a guest at the pace of the guest.
final class CopyUpload {
    private let messages: Handoff<MessageReader.Message>
    /// Whether the client has said that it was all.
    private(set) var hasEnded = false

    init(_ messages: Handoff<MessageReader.Message>) { self.messages = messages }

    /// Sends everything until the client says that it was all.
    ///
    /// - Throws: What the guest has against it; ``CopyService/ClientLeft``. The guest keeps no half of a file then.
    func run(_ input: any GuestArchiveInput) async throws -> GuestFilesResult {
        do {
            while let message = await messages.next() {
                switch message {
                case .binary(let bytes, _): try await input.write(bytes)
                case .text(let text):
                    hasEnded = true
                    try Self.checkEnd(text)
                    return try await input.finish()
                case .ping, .pong, .close: continue
                }
            }
            throw CopyService.ClientLeft()
        } catch {
            // Not in this task: it may be cancelled, and the guest must hear of it all the same.
            await Task { await input.cancel() }.value
            throw error
        }
    }

    /// Takes what still comes, for a client that does not listen before it has said everything.
    func drain() async throws {
        guard !hasEnded else { return }
        while let message = await messages.next() {
            if case .text = message { return }
        }
        throw CopyService.ClientLeft()
    }

    private static func checkEnd(_ text: [UInt8]) throws(AgentError) {
        do throws(FieldError) {
            var reader = try APIJSON.fields(Data(text))
            let type = try reader.requiredString("type")
            guard type == CopyControl.end.type else {
                throw FieldError(.invalid, field: "type", "type '\(type.prefix(100))' is not 'end'")
            }
            try reader.finish()
        } catch {
            throw error.agentError
        }
    }
}

/// A file or directory that goes in as existing clients send it.
struct PlainUpload: Sendable {
    private static let defaultMode = (file: 0o644, directory: 0o755)

    let body: CopyBody
    let files: InstanceFiles

    func run(_ messages: Handoff<MessageReader.Message>, _ socket: ExecSocket) async throws {
        let upload = CopyUpload(messages)
        let input: any GuestArchiveInput
        do {
            guard let opened = try await open() else {
                // A directory that is there.
                try await upload.drain()
                return try await CopyService.send([CopyService.text(CopyOutcome.result(bytes: 0))], socket)
            }
            input = opened
        } catch let error as AgentError {
            // These clients read nothing before they have said everything.
            try await upload.drain()
            throw error
        }
        do {
            let result = try await upload.run(input)
            let outcome = CopyOutcome.result(bytes: result.bytes ?? 0)
            try await CopyService.send([CopyService.text(outcome)], socket)
        } catch let error as AgentError {
            var outcome = CopyOutcome.result(bytes: 0)
            outcome.success = false
            outcome.error = error.response.message
            outcome.code = error.code
            try await upload.drain()
            try await CopyService.send([CopyService.text(outcome)], socket)
        }
    }

    /// Opens what the file or directory is written to; nil for a directory that is there already.
    private func open() async throws -> (any GuestArchiveInput)? {
        let status = try await files.status(GuestPathRequest(path: body.guestPath, followsLink: true))
        var path = status.realPath ?? body.guestPath
        if status.kind == .directory {
            if body.isDirectory == true { return nil }
            guard let name = body.sourceName else {
                throw AgentError(
                    .invalidArgument,
                    code: "is_a_directory",
                    "cannot copy a file over '\(path)', a directory"
                )
            }
            path += path.hasSuffix("/") ? name : "/" + name
        } else if status.kind != nil, body.isDirectory == true {
            throw AgentError(
                .invalidArgument,
                code: "not_a_directory",
                "cannot make the directory '\(path)': it is a file"
            )
        }
        let isDirectory = body.isDirectory ?? false
        let mode =
            (body.mode ?? 0) == 0 ? (isDirectory ? Self.defaultMode.directory : Self.defaultMode.file) : body.mode
        let file = GuestWriteRequest.File(
            name: path,
            mode: mode ?? Self.defaultMode.file,
            owner: body.owner ?? 0,
            group: body.group ?? 0,
            isDirectory: isDirectory
        )
        return try await files.write(GuestWriteRequest(path: "/", keepsOwners: true, file: file))
    }
}

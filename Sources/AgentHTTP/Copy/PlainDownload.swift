import AgentAPI
import AgentCore
import GuestProtocol
import NIOCore
import NIOWebSocket
import Tar
import TarTree

import struct Foundation.Data

/// Files that come out as existing clients take them: a header, contents and an end for each.
///
/// The guest's archive is taken apart on a thread of its own, whose two ends wait for guest and client.
struct PlainDownload: Sendable {
    /// The bytes of one frame.
    private static let chunk = 64 << 10

    /// What is before a message between the thread and the task that sends it.
    private enum Mark: UInt8 {
        case text
        case binary
    }

    let body: CopyBody
    let files: InstanceFiles

    func run(_ socket: ExecSocket) async throws {
        let request = GuestReadRequest(
            path: body.guestPath,
            followsLink: body.followLinks ?? false,
            wholeFiles: true
        )
        let archive = try await files.read(request)
        let (source, messages) = (AsyncChunkQueue(), AsyncChunkQueue())
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                for try await event in archive {
                    if case .bytes(let bytes) = event { try await source.send(bytes) }
                }
                source.queue.finish()
            }
            group.addTask {
                try await TreeThread.run {
                    try Self.takeApart(QueueSource(source.queue)) { mark, bytes in
                        try messages.queue.put([mark.rawValue] + bytes)
                    }
                    messages.queue.finish()
                }
            }
            group.addTask {
                while let message = try await messages.next() {
                    let buffer = ByteBuffer(bytes: message.dropFirst())
                    let isText = message.first == Mark.text.rawValue
                    let frame = WebSocketFrame(fin: true, opcode: isText ? .text : .binary, data: buffer)
                    try await CopyService.send([frame], socket)
                }
            }
            do {
                while try await group.next() != nil {}
            } catch {
                // The thread waits for these, not for the tasks.
                source.queue.cancel()
                messages.queue.cancel()
                throw error
            }
        }
    }

    private static func takeApart(_ source: any ChunkSource, _ send: (Mark, [UInt8]) throws -> Void) throws {
        do {
            let reader = TarReader(source)
            var entry = try next(reader)
            while let current = entry {
                try send(.text, [UInt8](try APIJSON.encode(CopyHeader(current))))
                while true {
                    let piece = try reader.contents(upTo: chunk)
                    if piece.isEmpty { break }
                    try send(.binary, Array(piece))
                }
                entry = try next(reader)
                try send(.text, [UInt8](try APIJSON.encode(CopyOutcome.end(final: entry == nil))))
            }
            guard reader.hasEndMark else { throw DecodingFailure("it is cut off") }
            try reader.drain()
        } catch let failure as DecodingFailure {
            throw AgentError(.unavailable, "the guest does not keep to the protocol: \(failure)")
        }
    }

    /// The next of the kinds that these clients know.
    private static func next(_ reader: TarReader) throws -> TarEntry? {
        while let entry = try reader.next() {
            if [.file, .directory, .symbolicLink].contains(entry.kind) { return entry }
        }
        return nil
    }
}

extension CopyHeader {
    fileprivate init(_ entry: TarEntry) {
        var name = entry.name[...]
        while name.last == 47 { name.removeLast() }
        if name.starts(with: "./".utf8) { name = name.dropFirst(2) }
        self.init(
            path: String(decoding: name, as: UTF8.self),
            mode: Int(entry.mode),
            isDirectory: entry.kind == .directory,
            isSymbolicLink: entry.kind == .symbolicLink,
            linkTarget: entry.kind == .symbolicLink ? String(decoding: entry.linkName, as: UTF8.self) : nil,
            size: entry.size,
            modified: Int(entry.modified.seconds),
            owner: Int(entry.owner),
            group: Int(entry.group)
        )
    }
}

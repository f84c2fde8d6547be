import Foundation
import NIOCore
import SystemPackage
import Tar

/// The archive to import: a tar file, stdin, or a layout directory that becomes a tar on the way.
enum ArchiveSource: Sendable {
    case standardInput
    case file(FilePath, size: Int)
    case layout([LayoutFiles.File], size: Int)

    /// What a path stands for; `-` is stdin.
    init(_ path: String) throws {
        guard path != "-" else {
            self = .standardInput
            return
        }
        var status = stat()
        guard stat(path, &status) == 0 else {
            throw CommandError("cannot read \(path): \(String(cString: strerror(errno)))")
        }
        switch status.st_mode & S_IFMT {
        case S_IFDIR:
            let layout = try LayoutFiles(FilePath(path))
            self = .layout(layout.files, size: layout.archiveSize)
        case S_IFREG:
            self = .file(FilePath(path), size: Int(status.st_size))
        default:
            throw CommandError("\(path) is neither a file nor a directory", remedy: "for a pipe use '-' and stdin")
        }
    }

    /// The bytes to send; nil where nobody knows before.
    var size: Int? {
        switch self {
        case .standardInput: nil
        case .file(_, let size), .layout(_, let size): size
        }
    }

    /// What to send, in order.
    var pieces: [ArchivePiece] {
        switch self {
        case .standardInput: return [.descriptor]
        case .file(let path, let size): return [.file(path, size: size)]
        case .layout(let files, _):
            return files.flatMap { file -> [ArchivePiece] in
                [
                    .header(name: file.name, size: file.size), .file(file.path, size: file.size),
                    .zeros(TarMember.padding(after: file.size)),
                ]
            } + [.zeros(TarMember.end.count)]
        }
    }
}

/// A part of an archive.
enum ArchivePiece: Sendable {
    case header(name: String, size: Int)
    case file(FilePath, size: Int)
    case zeros(Int)
    /// All of stdin.
    case descriptor
}

/// The archive's bytes, read as the network takes them.
struct ArchiveChunks: AsyncSequence, Sendable {
    let pieces: [ArchivePiece]
    /// Called with the number of bytes that were handed over so far.
    let progress: @Sendable (Int) -> Void

    struct AsyncIterator: AsyncIteratorProtocol {
        private static let chunk = 256 << 10

        var pieces: ArraySlice<ArchivePiece>
        let progress: @Sendable (Int) -> Void
        var reader: OpenFile?
        var sent = 0

        mutating func next() async throws -> ByteBuffer? {
            while true {
                if let reader {
                    if let bytes = try await reader.next(Self.chunk) { return count(ByteBuffer(bytes: bytes)) }
                    self.reader = nil
                }
                guard let piece = pieces.popFirst() else { return nil }
                switch piece {
                case .header(let name, let size):
                    return count(ByteBuffer(bytes: TarMember(file: name, size: size).header))
                case .zeros(let number):
                    guard number > 0 else { continue }
                    return count(ByteBuffer(repeating: 0, count: number))
                case .file(let path, let size):
                    reader = try OpenFile(path, size: size)
                case .descriptor:
                    reader = try OpenFile(descriptor: STDIN_FILENO)
                }
            }
        }

        private mutating func count(_ buffer: ByteBuffer) -> ByteBuffer {
            sent += buffer.readableBytes
            progress(sent)
            return buffer
        }
    }

    func makeAsyncIterator() -> AsyncIterator { AsyncIterator(pieces: pieces[...], progress: progress) }
}

/// A file that is read to its known end, or stdin to whatever end it has.
final class OpenFile: Sendable {
    private let input: InputReader
    private let descriptor: Int32
    private let isOwned: Bool
    private let remaining: Remaining?

    /// Opens a file of `size` bytes; fewer are an error, more are not read.
    init(_ path: FilePath, size: Int) throws {
        descriptor = open(path.string, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw CommandError("cannot read \(path): \(String(cString: strerror(errno)))") }
        isOwned = true
        input = try InputReader(descriptor)
        remaining = Remaining(path: path, bytes: size)
    }

    init(descriptor: Int32) throws {
        self.descriptor = descriptor
        isOwned = false
        input = try InputReader(descriptor)
        remaining = nil
    }

    deinit { if isOwned { close(descriptor) } }

    /// The next bytes, nil at the end.
    func next(_ count: Int) async throws -> [UInt8]? {
        guard let remaining else { return await input.read(upTo: count) }
        let wanted = await min(count, remaining.bytes)
        guard wanted > 0 else { return nil }
        guard let bytes = await input.read(upTo: wanted) else {
            throw CommandError(
                "\(remaining.path) became shorter while it was read",
                remedy: "try again when nobody writes to it"
            )
        }
        await remaining.take(bytes.count)
        return bytes
    }

    private actor Remaining {
        let path: FilePath
        var bytes: Int

        init(path: FilePath, bytes: Int) {
            self.path = path
            self.bytes = bytes
        }

        func take(_ count: Int) { bytes -= count }
    }
}

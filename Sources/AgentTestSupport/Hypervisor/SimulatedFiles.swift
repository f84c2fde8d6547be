import AgentCore
import GuestProtocol
import Synchronization
import Tar

/// Files of a simulated guest: as much of a file system as copies need, in memory.
final class SimulatedFiles: Sendable {
    private struct File: Sendable {
        var kind: TarEntry.Kind
        var linkName: [UInt8]
        var mode: UInt16
        var owner: UInt32
        var group: UInt32
        var modified: FileTime
        var contents: [UInt8]
    }

    private let files = Mutex<[String: File]>([
        "/": SimulatedFiles.directory, "/tmp": SimulatedFiles.directory, "/etc": SimulatedFiles.directory,
    ])

    private static var directory: File {
        File(
            kind: .directory,
            linkName: [],
            mode: 0o755,
            owner: 0,
            group: 0,
            modified: FileTime(),
            contents: []
        )
    }

    private static func failure(_ reason: String, _ path: String, _ words: String) -> AgentError {
        GuestFilesResult.Failure(reason: reason, path: path, message: "\(words) '\(path)'").error
    }

    func status(of request: GuestPathRequest) -> GuestPathStatus {
        guard let file = files.withLock({ $0[request.path] }) else { return .nothing }
        let kind: GuestPathStatus.Kind =
            file.kind == .directory ? .directory : file.kind == .symbolicLink ? .symbolicLink : .file
        return GuestPathStatus(
            realPath: request.path,
            kind: kind,
            mode: Int(file.mode),
            size: file.contents.count,
            owner: Int(file.owner),
            group: Int(file.group),
            modifiedSeconds: Int(file.modified.seconds),
            modifiedNanoseconds: Int(file.modified.nanoseconds),
            linkTarget: kind == .symbolicLink ? String(decoding: file.linkName, as: UTF8.self) : nil
        )
    }

    func archive(_ request: GuestReadRequest) throws -> [UInt8] {
        let all = files.withLock { $0 }
        guard all[request.path] != nil else { throw Self.failure("not_found", request.path, "cannot copy") }
        let name = request.name ?? request.path.split(separator: "/").last.map(String.init) ?? "."
        var archive: [UInt8] = []
        let top = request.path == "/" ? "" : request.path
        let identity: Set = ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"]
        for (path, file) in all.sorted(by: { $0.key < $1.key }) {
            guard path == request.path || path.hasPrefix(top + "/") else { continue }
            if request.asImage, identity.contains(path) { continue }
            let below = path == request.path ? "" : path.dropFirst(top.count)
            var member = TarMember(Array((name + below).utf8))
            if file.kind == .directory { member.name.append(47) }
            member.kind = file.kind == .directory ? .directory : file.kind == .symbolicLink ? .symbolicLink : .file
            member.linkName = file.linkName
            member.mode = file.mode
            member.owner = file.owner
            member.group = file.group
            member.modified = file.modified
            member.size = file.contents.count
            archive += member.header + file.contents
            archive += [UInt8](repeating: 0, count: TarMember.padding(after: file.contents.count))
        }
        return archive + TarMember.end
    }

    func unpack(_ archive: [UInt8], _ request: GuestWriteRequest) throws -> GuestFilesResult {
        guard files.withLock({ $0[request.path] })?.kind == .directory else {
            throw Self.failure("not_found", request.path, "cannot copy into")
        }
        let reader = TarReader(Whole(archive))
        var result = GuestFilesResult(members: 0, bytes: 0, warnings: [])
        do {
            while let entry = try reader.next() {
                let path = try EntryPath.linkTarget(entry.name).map { String(decoding: $0, as: UTF8.self) }
                    .joined(separator: "/")
                var contents: [UInt8] = []
                while true {
                    let piece = try reader.contents()
                    if piece.isEmpty { break }
                    contents += piece
                }
                let file = File(
                    kind: entry.kind,
                    linkName: entry.linkName,
                    mode: entry.mode,
                    owner: request.keepsOwners ? entry.owner : 0,
                    group: request.keepsOwners ? entry.group : 0,
                    modified: entry.modified,
                    contents: contents
                )
                files.withLock { $0[request.path == "/" ? "/" + path : "\(request.path)/\(path)"] = file }
                result.members = (result.members ?? 0) + 1
                result.bytes = (result.bytes ?? 0) + contents.count
            }
            guard reader.hasEndMark else { throw DecodingFailure("it is cut off") }
        } catch let failure as DecodingFailure {
            throw GuestFilesResult.Failure(reason: "damaged", path: "", message: "the archive is damaged: \(failure)")
                .error
        }
        return result
    }

    private final class Whole: ChunkSource {
        private let buffer: UnsafeMutableRawBufferPointer
        private var isTaken = false

        init(_ bytes: [UInt8]) {
            buffer = .allocate(byteCount: bytes.count, alignment: 1)
            buffer.copyBytes(from: bytes)
        }

        deinit { buffer.deallocate() }

        func nextChunk() -> UnsafeRawBufferPointer {
            defer { isTaken = true }
            return UnsafeRawBufferPointer(rebasing: buffer[..<(isTaken ? 0 : buffer.count)])
        }
    }
}

/// An archive on its way into a simulated guest.
final class SimulatedArchiveInput: GuestArchiveInput {
    private let files: SimulatedFiles
    private let request: GuestWriteRequest
    private let check: @Sendable () throws -> Void
    private let archive = Mutex<[UInt8]>([])

    init(_ request: GuestWriteRequest, _ files: SimulatedFiles, check: @escaping @Sendable () throws -> Void) {
        self.request = request
        self.files = files
        self.check = check
    }

    func write(_ bytes: [UInt8]) async throws {
        try check()
        archive.withLock { $0 += bytes }
    }

    func finish() async throws -> GuestFilesResult {
        try check()
        return try files.unpack(archive.withLock { $0 }, request)
    }

    func cancel() async { archive.withLock { $0 = [] } }
}

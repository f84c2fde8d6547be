import AgentCore
import SystemPackage
import Tar

/// What is in an archive, after one pass over it.
struct ArchiveCatalog {
    enum Member {
        case file(offset: Int, size: Int)
        /// One with holes, which is not in one piece.
        case sparse
        /// To a name in the archive, resolved against the link's own directory.
        case link(String)
    }

    /// Only what can be part of an image layout; a root filesystem's files are checked and not remembered.
    private(set) var members: [String: Member] = [:]
    /// Of the archive unpacked.
    private(set) var digest: Digest
    private(set) var size: Int
    private(set) var entries = 0
    private let hasEndMark: Bool

    /// Reads a whole archive.
    ///
    /// - Throws: ``DecodingFailure`` for what is no tar archive, and for names that lead out of it.
    init(reading source: any ByteSource, limits: ImageLimits) throws {
        let hashing = HashingSource(source)
        let reader = TarReader(hashing, takesSparseFiles: true)
        while let entry = try reader.next() {
            entries += 1
            guard entries <= limits.maximumEntries else {
                throw DecodingFailure("it has more than \(limits.maximumEntries) entries, which is the limit")
            }
            let path = try EntryPath.components(entry.name)
            if entry.kind == .hardLink {
                do {
                    _ = try EntryPath.linkTarget(entry.linkName)
                } catch let failure as DecodingFailure {
                    throw DecodingFailure("entry \(entry.printableName): \(failure)")
                }
            }
            guard Self.isLayout(path), members.count < 10_000 else { continue }
            let name = Self.join(path)
            switch entry.kind {
            case .file where entry.sparse != nil: members[name] = .sparse
            case .file: members[name] = .file(offset: reader.position, size: entry.size)
            case .symbolicLink: members[name] = Self.resolve(entry.linkName, in: path.dropLast()).map { .link($0) }
            case .hardLink: members[name] = .link(Self.join(try EntryPath.linkTarget(entry.linkName)))
            default: break
            }
        }
        guard entries > 0 else { throw DecodingFailure("it is empty") }
        try reader.drain()
        hasEndMark = reader.hasEndMark
        digest = try hashing.digest()
        size = hashing.count
    }

    /// Where a file is, links followed.
    func file(_ name: String) throws -> (offset: Int, size: Int) {
        var name = name
        for _ in 0..<8 {
            switch members[name] {
            case .file(let offset, let size): return (offset, size)
            case .link(let target): name = target
            case .sparse: throw DecodingFailure("'\(name)' is stored with holes, as no part of an image may be")
            case nil: throw DecodingFailure("'\(name)' is missing from it")
            }
        }
        throw DecodingFailure("'\(name)' is a loop of links")
    }

    func has(_ name: String) -> Bool { members[name] != nil }

    /// What has no digests to be checked against must at least end as a tar does.
    func checkEnd() throws {
        guard hasEndMark else { throw DecodingFailure("it is cut off: the end of the archive is missing") }
    }

    private static func join(_ path: [[UInt8]]) -> String {
        path.map { String(decoding: $0, as: UTF8.self) }.joined(separator: "/")
    }

    /// Whether a name is one of an OCI layout or of a `docker save` archive.
    private static func isLayout(_ path: [[UInt8]]) -> Bool {
        switch path.count {
        case 1:
            let name = String(decoding: path[0], as: UTF8.self)
            return ["oci-layout", "index.json", "manifest.json"].contains(name) || name.hasSuffix(".json")
                || name.hasSuffix(".tar")
        case 2: return path[1].elementsEqual("layer.tar".utf8) || path[1].elementsEqual("json".utf8)
        case 3: return path[0].elementsEqual("blobs".utf8)
        default: return false
        }
    }

    /// A symbolic link's target as a name in the archive; nil if it leads out.
    private static func resolve(_ target: [UInt8], in directory: ArraySlice<[UInt8]>) -> String? {
        guard target.first != 47 else { return nil }
        var path = Array(directory)
        for component in target.split(separator: 47) where !component.elementsEqual([46]) {
            if component.elementsEqual(EntryPath.parent) {
                if path.popLast() == nil { return nil }
            } else {
                path.append(Array(component))
            }
        }
        return join(path)
    }
}

import CLinux
import Glibc
import Tar

extension TreeExtractor {
    /// Makes anything but a directory, in the place of whatever is there.
    ///
    /// - Returns: False if it was left out.
    func make(_ entry: TarEntry, _ target: Target, _ reader: any FileContents) throws -> Bool {
        if entry.kind == .characterDevice || entry.kind == .blockDevice, !options.makesDevices {
            summary.warnings.add("\(TreeFailure.quoted(target.path)) is a device node, which is left out")
            return false
        }
        let temporary = Array(".hypeman-cp.\(String(UInt64.random(in: .min ... .max), radix: 16))".utf8)
        do {
            switch entry.kind {
            case .file: try writeFile(entry, target, temporary, reader)
            case .hardLink: try link(entry, target, temporary)
            case .symbolicLink: try symbolicLink(entry, target, temporary)
            case .fifo, .characterDevice, .blockDevice: try node(entry, target, temporary)
            case .directory: return false
            }
            let result = temporary.withName { from in
                target.name.withName { renameat(target.parent, from, target.parent, $0) }
            }
            guard result == 0 else { throw TreeFailure(errno: errno, "cannot write", target.path) }
            // Renaming one name of a file over another of the same file does nothing (rename(2)).
            if entry.kind == .hardLink { remove(temporary, target) }
        } catch {
            remove(temporary, target)
            throw error
        }
        return true
    }

    private func remove(_ temporary: [UInt8], _ target: Target) {
        _ = temporary.withName { unlinkat(target.parent, $0, 0) }
    }

    private func writeFile(_ entry: TarEntry, _ target: Target, _ temporary: [UInt8], _ reader: any FileContents) throws
    {
        let descriptor = temporary.withName { clinux_create_file(target.parent, $0) }
        guard descriptor >= 0 else { throw TreeFailure(errno: errno, "cannot write", target.path) }
        defer { close(descriptor) }
        let size = reader.knowsSize ? entry.size : .max
        for extent in entry.sparse?.extents ?? [SparseMap.Extent(offset: 0, count: size)] {
            try write(extent, to: descriptor, target.path, reader)
        }
        if let sparse = entry.sparse, ftruncate(descriptor, off_t(sparse.size)) != 0 {
            throw TreeFailure(errno: errno, "cannot write", target.path)
        }
        try setOwner(entry, target.parent, temporary, target.path)
        guard fchmod(descriptor, mode(of: entry)) == 0 else {
            throw TreeFailure(errno: errno, "cannot set the rights of", target.path)
        }
        try setAttributes(entry, target.parent, temporary, target.path)
        try setModified(entry, descriptor, [], target.path)
    }

    private func write(
        _ extent: SparseMap.Extent,
        to descriptor: Int32,
        _ path: String,
        _ reader: any FileContents
    ) throws {
        var (offset, left) = (extent.offset, extent.count)
        while left > 0 {
            let piece = try reader.contents(upTo: left)
            if piece.isEmpty {
                if !reader.knowsSize { return }
                throw DecodingFailure("it is cut off in the middle of a file")
            }
            var rest = piece
            while !rest.isEmpty {
                let written = pwrite(descriptor, rest.baseAddress, rest.count, off_t(offset))
                if written < 0, errno == EINTR { continue }
                guard written > 0 else { throw TreeFailure(errno: written == 0 ? ENOSPC : errno, "cannot write", path) }
                offset += written
                rest = UnsafeRawBufferPointer(rebasing: rest[written...])
            }
            left -= piece.count
            summary.bytes += piece.count
        }
    }

    private func link(_ entry: TarEntry, _ target: Target, _ temporary: [UInt8]) throws {
        let components = try EntryPath.linkTarget(entry.linkName)
        if let only = options.onlyBelow, components.first != only {
            throw TreeFailure(
                .outside,
                path: target.path,
                "\(TreeFailure.quoted(target.path)) is a link to \(TarEntry.printable(entry.linkName)), which is not copied"
            )
        }
        guard let name = components.last else {
            throw DecodingFailure("\(entry.printableName) is a hard link to a directory")
        }
        let directory = try place.open(components.dropLast())
        defer { close(directory) }
        let result = name.withName { from in
            temporary.withName { linkat(directory, from, target.parent, $0, 0) }
        }
        guard result == 0 else {
            throw TreeFailure(errno: errno, "cannot link \(TarEntry.printable(entry.linkName)) as", target.path)
        }
    }

    private func symbolicLink(_ entry: TarEntry, _ target: Target, _ temporary: [UInt8]) throws {
        let result = entry.linkName.withName { to in temporary.withName { symlinkat(to, target.parent, $0) } }
        guard result == 0 else { throw TreeFailure(errno: errno, "cannot make the link", target.path) }
        try setOwner(entry, target.parent, temporary, target.path)
        try setAttributes(entry, target.parent, temporary, target.path)
        try setModified(entry, target.parent, temporary, target.path)
    }

    private func node(_ entry: TarEntry, _ target: Target, _ temporary: [UInt8]) throws {
        let type = entry.kind == .fifo ? S_IFIFO : entry.kind == .characterDevice ? S_IFCHR : S_IFBLK
        let result = temporary.withName {
            clinux_make_node(target.parent, $0, type | 0o600, entry.deviceMajor, entry.deviceMinor)
        }
        guard result == 0 else { throw TreeFailure(errno: errno, "cannot make the node", target.path) }
        try setOwner(entry, target.parent, temporary, target.path)
        guard temporary.withName({ fchmodat(target.parent, $0, mode(of: entry), 0) }) == 0 else {
            throw TreeFailure(errno: errno, "cannot set the rights of", target.path)
        }
        try setAttributes(entry, target.parent, temporary, target.path)
        try setModified(entry, target.parent, temporary, target.path)
    }

    private func setModified(
        _ entry: TarEntry,
        _ directory: Int32,
        _ name: [UInt8],
        _ path: String
    ) throws(TreeFailure) {
        let time = entry.modified
        guard name.withName({ clinux_set_modified(directory, $0, time.seconds, time.nanoseconds) }) == 0 else {
            throw TreeFailure(errno: errno, "cannot set the time of", path)
        }
    }
}

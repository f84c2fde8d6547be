import Foundation
import SystemPackage
import Tar

/// The files of an OCI image layout directory (image-spec, image-layout.md).
struct LayoutFiles {
    struct File: Hashable {
        /// Relative to the layout.
        var name: String
        var path: FilePath
        var size: Int
    }

    let files: [File]

    /// Lists what belongs to the layout: its marker, its index and its blobs; links are not followed.
    init(_ directory: FilePath) throws {
        var files: [File] = []
        for name in ["oci-layout", "index.json"] {
            guard let file = try Self.file(name, in: directory) else {
                throw CommandError(
                    "\(directory) is not an OCI image layout: it has no \(name)",
                    remedy: "for the directory of a root filesystem: tar -C \(directory) -c . | hypeman import - NAME"
                )
            }
            files.append(file)
        }
        let algorithms = try Self.entries(directory.appending("blobs"))
        for algorithm in algorithms {
            for blob in try Self.entries(directory.appending("blobs").appending(algorithm)) {
                if let file = try Self.file("blobs/\(algorithm)/\(blob)", in: directory) { files.append(file) }
            }
        }
        self.files = files
    }

    /// The bytes of the whole archive.
    var archiveSize: Int {
        files.reduce(TarMember.end.count) { sum, file in
            sum + TarMember(file: file.name, size: file.size).header.count + file.size
                + TarMember.padding(after: file.size)
        }
    }

    private static func entries(_ directory: FilePath) throws -> [String] {
        do {
            return try FileManager.default.contentsOfDirectory(atPath: directory.string).sorted()
        } catch {
            throw CommandError("cannot list \(directory): it is missing or not readable")
        }
    }

    private static func file(_ name: String, in directory: FilePath) throws -> File? {
        let path = directory.pushing(FilePath(name))
        var status = stat()
        guard lstat(path.string, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
        return File(name: name, path: path, size: Int(status.st_size))
    }
}

import CLinux
import Glibc
import Tar

/// Directories whose rights and times are set when nothing is written into them any more.
struct PendingDirectories {
    struct Directory {
        var components: [[UInt8]]
        var mode: mode_t
        var modified: FileTime
    }

    /// An archive may have more; it gets the times right if it has what is in a directory right behind that.
    private static let limit = 16_384

    private var waiting: [Directory] = []

    mutating func add(_ directory: Directory) { waiting.append(directory) }

    /// Keeps the number bounded.
    mutating func applyOldest(in place: ExtractionPlace, besides components: [[UInt8]]) throws {
        guard waiting.count > Self.limit else { return }
        var kept: [Directory] = []
        let old = waiting.prefix(Self.limit / 2)
        for directory in old.reversed() {
            if components.starts(with: directory.components) {
                kept.append(directory)
            } else {
                try apply(directory, in: place)
            }
        }
        waiting.replaceSubrange(..<old.endIndex, with: kept.reversed())
    }

    /// What is inside first.
    mutating func applyAll(in place: ExtractionPlace) throws {
        while let directory = waiting.popLast() { try apply(directory, in: place) }
    }

    private func apply(_ directory: Directory, in place: ExtractionPlace) throws {
        let descriptor: Int32
        do {
            descriptor = try place.open(directory.components[...], flags: O_RDONLY | O_NOFOLLOW)
        } catch {
            // Somebody else took it away.
            if error.reason == .notFound || error.reason == .notDirectory { return }
            throw error
        }
        defer { close(descriptor) }
        let path = place.describe(directory.components)
        guard fchmod(descriptor, directory.mode) == 0 else {
            throw TreeFailure(errno: errno, "cannot set the rights of", path)
        }
        let time = directory.modified
        guard clinux_set_modified(descriptor, "", time.seconds, time.nanoseconds) == 0 else {
            throw TreeFailure(errno: errno, "cannot set the time of", path)
        }
    }
}

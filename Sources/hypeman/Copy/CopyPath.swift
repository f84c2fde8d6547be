/// One side of a copy.
enum CopyPath: Sendable, Hashable {
    case local(String)
    /// A tar archive on stdin or stdout.
    case stream
    /// Absolute, as paths in an instance count from its root.
    case remote(instance: String, path: String)

    /// Reads what docker cp reads: `NAME:PATH` is in an instance, unless it begins with a slash or a dot.
    init(_ text: String) throws {
        guard text != "-" else {
            self = .stream
            return
        }
        guard !text.isEmpty else { throw CommandError("a path is empty") }
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, !text.hasPrefix("/"), !text.hasPrefix("."), !parts[0].contains("/") else {
            self = .local(text)
            return
        }
        guard !parts[0].isEmpty else {
            throw CommandError("'\(text)' names no instance", remedy: "write NAME:PATH, or ./\(text) for a file here")
        }
        self = .remote(instance: String(parts[0]), path: parts[1].hasPrefix("/") ? String(parts[1]) : "/" + parts[1])
    }
}

/// What docker cp's rules look at in a path's text.
struct CopyPathText {
    /// Whether it stands for what is in a directory, not for the directory.
    let meansContents: Bool
    /// Whether only a directory will do.
    let meansDirectory: Bool
    /// The last name; nil where there is none: the root, `.`, `..`.
    let name: String?
    /// All before the last name.
    let parent: String

    init(_ path: String) {
        let components = path.split(separator: "/")
        meansContents = path == "." || path.hasSuffix("/.") || components.isEmpty
        meansDirectory = meansContents || path.hasSuffix("/") || components.last == ".."
        let named = components.last == "." ? components.dropLast() : components[...]
        name = named.last.flatMap { $0 == ".." || $0 == "." ? nil : String($0) }
        let above = named.dropLast().joined(separator: "/")
        parent = path.hasPrefix("/") ? "/" + above : above.isEmpty ? "." : above
    }
}

/// What is at a path.
struct CopyPlace: Sendable, Hashable {
    enum Kind: Sendable, Hashable {
        case nothing
        case directory
        /// Anything else.
        case file
    }

    var kind: Kind
    /// The path as it was given.
    var path: String
    /// The path without links, where there is something.
    var realPath: String
}

/// Where a copy goes: docker cp's rules, for either direction.
struct CopyDestination: Sendable, Hashable {
    /// The directory that it goes into, which is there or is an error.
    var directory: String
    /// What it is called there; nil: it has no name, and its contents go into the directory.
    var name: String?

    /// - Parameters:
    ///   - source: What is copied.
    ///   - place: What is where it goes.
    /// - Throws: If the two don't go together.
    init(_ source: CopyPlace, to place: CopyPlace) throws {
        let (from, to) = (CopyPathText(source.path), CopyPathText(place.path))
        if from.meansDirectory, source.kind == .file { throw CommandError("'\(source.path)' is not a directory") }
        switch place.kind {
        case .directory:
            let name = from.name ?? CopyPathText(source.realPath).name
            self.init(directory: place.path, name: source.kind == .directory && from.meansContents ? nil : name)
        case .file:
            guard source.kind != .directory else {
                throw CommandError("cannot copy the directory '\(source.path)' over '\(place.path)', which is a file")
            }
            guard !to.meansDirectory else { throw CommandError("'\(place.path)' is not a directory") }
            let real = CopyPathText(place.realPath)
            self.init(directory: real.parent, name: real.name)
        case .nothing:
            guard source.kind == .directory || !to.meansDirectory else {
                throw CommandError("there is no directory '\(place.path)'", remedy: "make it first")
            }
            guard let name = to.name else { throw CommandError("there is no directory '\(place.path)'") }
            self.init(directory: to.parent, name: name)
        }
    }

    init(directory: String, name: String?) {
        self.directory = directory
        self.name = name
    }
}

/// The components of a name in a layer, checked.
enum EntryPath {
    static let whiteoutPrefix = Array(".wh.".utf8)
    static let reservedPrefix = Array(".wh..wh.".utf8)
    static let opaqueMark = Array(".wh..wh..opq".utf8)
    static let parent: [UInt8] = [46, 46]

    /// Linux's PATH_MAX, with the NUL.
    private static let maximumLength = 4095
    static let maximumNameLength = 255

    /// Splits the name of an entry.
    ///
    /// Empty for the root itself.
    ///
    /// - Throws: ``DecodingFailure`` for names that are absolute, climb, or are longer than Linux allows.
    static func components(_ name: [UInt8]) throws -> [[UInt8]] {
        guard name.first != 47 else { throw DecodingFailure("the name \(TarEntry.printable(name)) is absolute") }
        return try split(name, "the name")
    }

    /// Splits the target of a hard link, which is a name in the archive.
    ///
    /// A slash before it is let pass, for kaniko writes one; it cannot mean anything but the image's root.
    static func linkTarget(_ name: [UInt8]) throws -> [[UInt8]] { try split(name, "the link target") }

    private static func split(_ name: [UInt8], _ what: String) throws -> [[UInt8]] {
        guard !name.isEmpty, name.count <= maximumLength else {
            throw DecodingFailure("\(what) \(TarEntry.printable(name)) is \(name.count) bytes long")
        }
        let components = name.split(separator: 47).filter { !$0.elementsEqual([46]) }.map(Array.init)
        for component in components {
            guard component != parent else {
                throw DecodingFailure("\(what) \(TarEntry.printable(name)) contains '..'")
            }
            // The mark of a whiteout comes on top of a name that may be as long as names can be.
            let mark = component.starts(with: whiteoutPrefix) ? whiteoutPrefix.count : 0
            guard component.count - mark <= maximumNameLength else {
                throw DecodingFailure("\(what) \(TarEntry.printable(name)) has a component of \(component.count) bytes")
            }
            guard !component.contains(0) else {
                throw DecodingFailure("\(what) \(TarEntry.printable(name)) contains a NUL")
            }
        }
        return components
    }
}

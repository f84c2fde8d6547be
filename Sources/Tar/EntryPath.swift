import Glibc

/// The components of a name in a layer, checked.
public enum EntryPath {
    public static let whiteoutPrefix = Array(".wh.".utf8)
    public static let reservedPrefix = Array(".wh..wh.".utf8)
    public static let opaqueMark = Array(".wh..wh..opq".utf8)
    public static let parent: [UInt8] = [46, 46]

    /// Linux's PATH_MAX, with the NUL.
    private static let maximumLength = 4095
    public static let maximumNameLength = 255

    /// Splits the name of an entry.
    ///
    /// Empty for the root itself.
    ///
    /// - Throws: ``DecodingFailure`` for names that are absolute, climb, or are longer than Linux allows.
    public static func components(_ name: [UInt8]) throws -> [[UInt8]] {
        guard name.first != 47 else { throw DecodingFailure("the name \(TarEntry.printable(name)) is absolute") }
        return try split(name, "the name")
    }

    /// Splits the target of a hard link, which is a name in the archive.
    ///
    /// A slash before it is let pass, for kaniko writes one; it cannot mean anything but the image's root.
    public static func linkTarget(_ name: [UInt8]) throws -> [[UInt8]] { try split(name, "the link target") }

    private static func split(_ name: [UInt8], _ what: String) throws -> [[UInt8]] {
        guard !name.isEmpty, name.count <= maximumLength else {
            throw DecodingFailure("\(what) \(TarEntry.printable(name)) is \(name.count) bytes long")
        }
        var components: [[UInt8]] = []
        var start = 0
        while start < name.count {
            let end = name[start...].firstIndex(of: 47) ?? name.count
            let component = name[start..<end]
            start = end + 1
            guard !component.isEmpty, !(component.count == 1 && component.first == 46) else { continue }
            try check(component, of: name, what)
            components.append(Array(component))
        }
        return components
    }

    /// Where the last component of an entry's name begins if it stands behind a slash and is an ordinary name, so that
    /// all before it is the way to its directory; nil for every other name, which may be a wrong one.
    public static func ordinaryNameStart(in name: [UInt8]) -> Int? {
        guard name.count <= maximumLength, let slash = name.lastIndex(of: 47), slash > 0 else { return nil }
        let last = name[(slash + 1)...]
        guard let first = last.first, first != 46, last.count <= maximumNameLength, !last.contains(0) else {
            return nil
        }
        return slash + 1
    }

    private static func check(_ component: ArraySlice<UInt8>, of name: [UInt8], _ what: String) throws {
        // The mark of a whiteout comes on top of a name that may be as long as names can be.
        var mark = 0
        if component.first == 46 {
            guard !component.elementsEqual(parent) else {
                throw DecodingFailure("\(what) \(TarEntry.printable(name)) contains '..'")
            }
            if component.starts(with: whiteoutPrefix) { mark = whiteoutPrefix.count }
        }
        guard component.count - mark <= maximumNameLength else {
            throw DecodingFailure("\(what) \(TarEntry.printable(name)) has a component of \(component.count) bytes")
        }
        guard !component.contains(0) else {
            throw DecodingFailure("\(what) \(TarEntry.printable(name)) contains a NUL")
        }
    }
}

extension [UInt8] {
    /// The order of `memcmp(3)`, and of what is longer behind what it begins with: erofs' order of names.
    public func isBytewiseBefore(_ other: [UInt8]) -> Bool {
        withUnsafeBytes { left in
            other.withUnsafeBytes { right in
                guard let a = left.baseAddress, let b = right.baseAddress else { return left.count < right.count }
                let order = memcmp(a, b, Swift.min(left.count, right.count))
                return order == 0 ? left.count < right.count : order < 0
            }
        }
    }
}

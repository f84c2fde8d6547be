import CDBus

/// A valid object path.
public struct ObjectPath: Sendable, Hashable, Comparable, CustomStringConvertible {
    public let description: String

    public static func < (left: ObjectPath, right: ObjectPath) -> Bool { left.description < right.description }

    /// Checks `path`.
    ///
    /// - Returns: nil if it is not a valid D-Bus object path.
    public init?(_ path: String) {
        guard !path.utf8.contains(0), dbus_validate_path(path, nil) != 0 else { return nil }
        self.description = path
    }

    /// A path that libdbus has validated, or that is made of such.
    init(trusted path: String) { self.description = path }

    /// The path of a node below this one whose name is `text`, whatever `text` contains.
    public func appending(escaped text: String) -> ObjectPath {
        let prefix = description == "/" ? "" : description
        return ObjectPath(trusted: "\(prefix)/\(Self.escape(text))")
    }

    /// The last element of the path, unescaped; nil if it is not what ``appending(escaped:)`` makes of a text.
    public var lastElement: String? {
        Self.unescape(description.split(separator: "/").last ?? "")
    }

    /// Whether `other` is somewhere below this path.
    public func isAncestor(of other: ObjectPath) -> Bool { child(towards: other) != nil }

    /// The name of the node directly below this path on the way to `other`.
    func child(towards other: ObjectPath) -> Substring? {
        let prefix = description == "/" ? "/" : description + "/"
        guard other.description.hasPrefix(prefix), other != self else { return nil }
        return other.description.dropFirst(prefix.count).prefix { $0 != "/" }
    }

    /// As sd_bus_path_encode(3) does: other bytes than letters and digits, and a digit at the beginning, become `_` and two
    /// hexadecimal digits; an empty text becomes `_`.
    static func escape(_ text: String) -> String {
        guard !text.isEmpty else { return "_" }
        var result = ""
        for (index, byte) in text.utf8.enumerated() {
            let isDigit = (48...57).contains(byte)
            if (65...90).contains(byte) || (97...122).contains(byte) || (isDigit && index > 0) {
                result.unicodeScalars.append(Unicode.Scalar(byte))
            } else {
                result += "_" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
            }
        }
        return result
    }

    static func unescape(_ element: some StringProtocol) -> String? {
        guard !element.isEmpty else { return nil }
        guard element != "_" else { return "" }
        var bytes: [UInt8] = []
        var rest = Array(element.utf8)[...]
        while let byte = rest.popFirst() {
            guard byte == 95 else {
                bytes.append(byte)
                continue
            }
            guard rest.count >= 2,
                let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
            else { return nil }
            bytes.append(value)
            rest = rest.dropFirst(2)
        }
        // Only one text has this escape: else two paths would name one thing.
        guard let text = String(validating: bytes, as: UTF8.self), escape(text) == element else { return nil }
        return text
    }
}

/// A JSON value while it is being built: containers handed out by an encoder all write into the same one.
final class JSONNode {
    enum Content {
        case null
        case bool(Bool)
        case number(String)
        case string(String)
        case array([JSONNode])
        case object([(name: String, value: JSONNode)])
    }

    var content = Content.null

    /// Makes it an array, if it is none yet, and adds an element.
    func appendElement() -> JSONNode {
        let child = JSONNode()
        guard case .array(var elements) = content else {
            content = .array([child])
            return child
        }
        content = .null
        elements.append(child)
        content = .array(elements)
        return child
    }

    /// Makes it an object, if it is none yet, and adds a field.
    func appendField(_ name: String) -> JSONNode {
        let child = JSONNode()
        guard case .object(var fields) = content else {
            content = .object([(name, child)])
            return child
        }
        content = .null
        fields.append((name, child))
        content = .object(fields)
        return child
    }

    var elementCount: Int {
        guard case .array(let elements) = content else { return 0 }
        return elements.count
    }
}

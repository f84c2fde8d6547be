/// The exported objects, and the nodes above them.
struct ObjectTree {
    private(set) var objects: [ObjectPath: [Interface]] = [:]
    private(set) var managers: Set<ObjectPath> = []
    /// Of each node above an object: its children, with the number of objects in or below each.
    private var children: [ObjectPath: [Substring: Int]] = [:]

    mutating func insert(_ interfaces: [Interface], at path: ObjectPath, isManager: Bool) {
        if objects.updateValue(interfaces, forKey: path) == nil { count(path, by: 1) }
        if isManager { managers.insert(path) } else { managers.remove(path) }
    }

    /// - Returns: What was there.
    mutating func remove(_ path: ObjectPath) -> [Interface]? {
        guard let interfaces = objects.removeValue(forKey: path) else { return nil }
        managers.remove(path)
        count(path, by: -1)
        return interfaces
    }

    /// Whether something can be introspected there.
    func hasNode(_ path: ObjectPath) -> Bool {
        objects[path] != nil || children[path] != nil || path.description == "/"
    }

    func children(of path: ObjectPath) -> [String] { children[path, default: [:]].keys.map(String.init).sorted() }

    /// The object managers above a path.
    func managers(above path: ObjectPath) -> [ObjectPath] { managers.filter { $0.isAncestor(of: path) } }

    private mutating func count(_ path: ObjectPath, by change: Int) {
        var parent = ObjectPath(trusted: "/")
        while let child = parent.child(towards: path) {
            let count = children[parent, default: [:]][child, default: 0] + change
            children[parent, default: [:]][child] = count == 0 ? nil : count
            if children[parent]?.isEmpty == true { children[parent] = nil }
            parent = ObjectPath(trusted: parent.description == "/" ? "/\(child)" : "\(parent)/\(child)")
        }
    }
}

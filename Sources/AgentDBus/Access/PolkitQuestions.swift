import AgentCore
import DBus

/// What polkit must allow for a call, and what its rules can look at: `instance`, `name`, `image`, `label.NAME`, `snapshot`,
/// `snapshot_name`, `volume`, `volume_name` and `volume_label.NAME`, as far as they are known.
struct PolkitQuestions: Sendable {
    struct Question: Sendable {
        var action: PolkitAction
        var details: [String: String]

        init(_ action: PolkitAction, _ details: [String: String]) { (self.action, self.details) = (action, details) }
    }

    /// Of a list that names things one by one; a longer one needs the right to see all of them.
    private static let mostOfList = 16

    let directory: InstanceDirectory
    let instances: InstancesService
    let volumes: VolumesService
    let operations: OperationTargets

    /// All that has to be allowed.
    ///
    /// Most operations are one question. Who may make an instance of one name, or change one instance, has no right by
    /// that to what is on a volume or in another instance.
    func about(_ operation: AgentOperation, _ call: Call) -> [Question] {
        guard let action = operation.row.action else { return [] }
        switch operation {
        case .createInstance:
            let specification = call.arguments.first.flatMap { [String: Variant]($0) }
            guard let request = specification.flatMap({ try? CreateInstanceRequest($0) }) else {
                return [Question(action, [:])]
            }
            let own = Self.details(name: request.name.rawValue, image: request.image.description, request.tags)
            let mounts = request.volumes.map { mount in
                Question(.volumeAttach, own.merging(details(volume: mount.volume)) { first, _ in first })
            }
            return [Question(action, own)] + mounts
        case .forkInstance, .forkSnapshot:
            let source = details(of: call)
            var copy = source.filter { $0.key == "image" || $0.key.hasPrefix("label.") }
            if case .string(let name)? = call.arguments.first { copy["name"] = name }
            return [Question(action, source), Question(.instanceCreate, copy)]
        case .commitInstance:
            let image = call.arguments.first.flatMap { String($0) }.map(Self.details(image:)) ?? [:]
            return [Question(action, details(of: call)), Question(.imageWrite, image)]
        case .attachVolume:
            let instance = details(of: call)
            var volume: [String: String] = [:]
            if case .objectPath(let path)? = call.arguments.first, let id = path.volume {
                volume = details(volume: id.rawValue)
            }
            return [
                Question(action, instance.merging(volume) { first, _ in first }), Question(.instanceManage, instance),
            ]
        case .getInstanceStats:
            let named = Set(call.arguments.first.flatMap { [ObjectPath]($0) } ?? [])
            guard (1...Self.mostOfList).contains(named.count) else { return [Question(action, [:])] }
            return named.sorted().map { Question(action, details(of: $0) ?? [:]) }
        default: return [Question(action, details(of: call))]
        }
    }

    /// What a call is about, by its object or else by its first argument.
    func details(of call: Call) -> [String: String] {
        if let details = details(of: call.path) { return details }
        switch (call.member, call.arguments.first) {
        case ("WaitOperation", .objectPath(let operation)?): return details(of: operation) ?? [:]
        case ("GetInstance", .string(let reference)?):
            return (try? directory.find(reference)).map(Self.details(of:)) ?? [:]
        case ("GetVolume", .string(let reference)?): return details(volume: reference)
        case ("GetSnapshot", .string(let reference)?): return details(snapshot: reference)
        case ("CreateVolume", let first?): return Self.details(ofNewVolume: first)
        case ("ImportVolume", _): return call.arguments.dropFirst().first.map(Self.details(ofNewVolume:)) ?? [:]
        case ("GetImage", .string(let name)?), ("PullImage", .string(let name)?): return Self.details(image: name)
        default: return [:]
        }
    }

    /// Of an object; nil for the root and others that are about nothing.
    ///
    /// Those of an operation are those of what it is about.
    private func details(of path: ObjectPath) -> [String: String]? {
        if let id = path.instance { return directory.get(id).map(Self.details(of:)) ?? [:] }
        if let id = path.volume { return details(volume: id.rawValue) }
        if let id = path.snapshot { return details(snapshot: id.rawValue) }
        if let name = path.element(below: "images") { return ["image": name] }
        // The target of an operation is none itself.
        return operations[path].flatMap { details(of: $0) }
    }

    private func details(volume reference: String) -> [String: String] {
        guard let volume = try? volumes.get(reference) else { return [:] }
        var details = Self.prefixed("volume_label", volume.tags)
        (details["volume"], details["volume_name"]) = (volume.id.rawValue, volume.name.rawValue)
        return details
    }

    private static func details(ofNewVolume value: Value) -> [String: String] {
        guard let request = [String: Variant](value).flatMap({ try? CreateVolumeRequest($0) }) else { return [:] }
        var details = prefixed("volume_label", request.tags)
        details["volume_name"] = request.name.rawValue
        details["volume"] = request.id?.rawValue
        return details
    }

    private func details(snapshot reference: String) -> [String: String] {
        guard let snapshot = try? instances.snapshot(reference) else { return [:] }
        let specification = snapshot.specification
        var details = Self.details(
            name: snapshot.instanceName.rawValue,
            image: specification?.image ?? "",
            specification?.tags ?? [:]
        )
        details["instance"] = snapshot.instance.rawValue
        details["snapshot"] = snapshot.id.rawValue
        details["snapshot_name"] = snapshot.name?.rawValue
        return details
    }

    /// Of what is not an image's name nothing is known.
    private static func details(image name: String) -> [String: String] {
        (try? ImageReference(name)).map { ["image": $0.description] } ?? [:]
    }

    private static func details(of instance: Instance) -> [String: String] {
        var details = details(
            name: instance.name.rawValue,
            image: instance.specification.image,
            instance.specification.tags
        )
        details["instance"] = instance.id.rawValue
        return details
    }

    private static func details(name: String, image: String, _ labels: [String: String]) -> [String: String] {
        var details = prefixed("label", labels)
        (details["name"], details["image"]) = (name, image)
        return details
    }

    private static func prefixed(_ prefix: String, _ labels: [String: String]) -> [String: String] {
        Dictionary(labels.map { ("\(prefix).\($0.key)", $0.value) }) { first, _ in first }
    }
}

import AgentAPI
import AgentCore

extension CreateSnapshotRequest {
    /// What a client asked for, each field checked.
    init(_ body: CreateSnapshotBody) throws(AgentError) {
        let name = try body.name.flatMap { name throws(AgentError) in name.isEmpty ? nil : try InstanceName(name) }
        self.init(kind: try Snapshot.Kind(text: body.kind), name: name, tags: body.tags ?? [:])
    }
}

extension Snapshot.Kind {
    /// - Throws: `invalidArgument` `invalid_kind`.
    init(text: String) throws(AgentError) {
        guard let kind = Snapshot.Kind(rawValue: text) else {
            let known = Snapshot.Kind.allCases.map(\.rawValue).joined(separator: " or ")
            throw AgentError(.invalidArgument, code: "invalid_kind", "kind '\(text.prefix(50))' is not \(known)")
        }
        self = kind
    }
}

extension SnapshotResponse {
    init(_ snapshot: Snapshot) {
        self.init(
            id: snapshot.id.rawValue,
            name: snapshot.name?.rawValue,
            kind: snapshot.kind.rawValue,
            sourceInstanceID: snapshot.instance.rawValue,
            sourceInstanceName: snapshot.instanceName.rawValue,
            sourceHypervisor: snapshot.hypervisor?.rawValue,
            sizeBytes: snapshot.size.bytes,
            tags: snapshot.tags.isEmpty ? nil : snapshot.tags,
            createdAt: snapshot.createdAt
        )
    }
}

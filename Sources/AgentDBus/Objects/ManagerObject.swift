import AgentCore
import DBus
import Logging

/// The root object: makes instances and volumes, brings images in, lists.
struct ManagerObject: Sendable {
    let instances: InstancesService
    let images: ImagesService
    let volumes: VolumesService
    let resources: ResourcesService
    let network: any NetworkBackend
    let published: PublishedObjects
    let operations: OperationRegistry
    let hypervisors: [HypervisorName]
    let logger: Logger

    var interface: Interface {
        Interface(AgentInterface.manager, instanceMembers + imageMembers + storageMembers + resourceMembers + common)
    }

    private var common: [Interface.Member] {
        [
            .method("WaitOperation", ["operation"]) { (_: Call, path: ObjectPath) in
                try await answering { try await operations.wait(path) }
            },
            .property("Version", .constant) { AgentVersion.current },
            .property("Platform", .constant) { Platform.host.description },
            .property("Hypervisors", .constant) { hypervisors.map(\.rawValue) },
            .property("HasNetwork", .constant) { network.network != nil },
            .signal("OperationNew", ["id", "operation"], UInt32.self, ObjectPath.self),
            .signal(
                "OperationRemoved",
                ["id", "operation", "result", "error_name", "error_message"],
                UInt32.self,
                ObjectPath.self,
                String.self,
                String.self,
                String.self
            ),
        ]
    }

    // MARK: Instances

    private var instanceMembers: [Interface.Member] {
        [
            .method("CreateInstance", ["specification", "flags"], returns: ["instance", "operation"]) {
                (call: Call, specification: [String: Variant], flags: UInt64) in
                try await answering {
                    let flags = try CallFlags(flags)
                    let request = try CreateInstanceRequest(specification)
                    return try await NewInstance(published: published, operations: operations)
                        .begin("create", for: call, flags) { onAccepted in
                            try await instances.create(request, onAccepted: onAccepted)
                        }
                }
            },
            .method("ListInstances", ["filter"], returns: ["instances"]) { (_: Call, filter: [String: Variant]) in
                try await answering {
                    instances.list(try InstanceFilter(filter)).map { instance in
                        ListEntry(
                            .instance(instance.id),
                            instance.name.rawValue,
                            ObjectTables.instance.values(ObjectTables.listedOfInstances, of: instance)
                        )
                    }
                }
            },
            .method("GetInstance", ["reference"], returns: ["instance"]) { (_: Call, reference: String) in
                try await answering { ObjectPath.instance(try instances.get(reference).id) }
            },
            .method("GetStats", ["instances"], returns: ["stats"]) { (_: Call, paths: [ObjectPath]) in
                try await answering { try await stats(paths) }
            },
        ]
    }

    /// What instances have used; all of them if none is named.
    ///
    /// One that is gone is left out.
    private func stats(_ paths: [ObjectPath]) async throws -> [ObjectPath: [String: Variant]] {
        var chosen = instances.list().map(\.id)
        if !paths.isEmpty {
            chosen = try paths.map { path throws(AgentError) in
                guard let id = path.instance else {
                    throw AgentError(.invalidArgument, "\(path) is not an instance's path")
                }
                return id
            }
        }
        var all: [ObjectPath: [String: Variant]] = [:]
        for id in chosen {
            do {
                all[.instance(id)] = Self.values(try await instances.usage(id.rawValue))
            } catch let error as AgentError where error.kind == .notFound {
                continue
            }
        }
        return all
    }

    private static func values(_ usage: InstanceUsage) -> [String: Variant] {
        [
            "CPUUSec": Variant(.uint64(usage.machine?.cpuTime.microsecondsValue ?? 0)),
            "ResidentMemory": size(usage.machine?.residentMemory ?? ByteSize(bytes: 0)),
            "ReceivedBytes": Variant(.uint64(usage.network?.receivedBytes ?? 0)),
            "SentBytes": Variant(.uint64(usage.network?.sentBytes ?? 0)),
            "VCPUs": Variant(.uint32(UInt32(clamping: usage.instance.specification.vcpus))),
            "Memory": size(usage.instance.specification.memory),
        ]
    }
}

/// The flags of a method that begins an operation.
struct CallFlags {
    /// Answer when the operation has ended, with its error if it failed.
    private static let wait: UInt64 = 1

    let waits: Bool

    /// - Throws: `invalidArgument` `invalid_field` for flags that are not known: who sets one counts on something.
    init(_ flags: UInt64) throws(AgentError) {
        guard flags & ~Self.wait == 0 else {
            throw AgentError(
                .invalidArgument,
                code: "invalid_field",
                "flags are \(flags), of which only \(Self.wait) (wait for the end) is known"
            )
        }
        waits = flags & Self.wait != 0
    }
}

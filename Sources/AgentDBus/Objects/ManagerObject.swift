import AgentCore
import DBus
import Logging
import NIOPosix

/// The root object: makes instances, brings images in, lists.
struct ManagerObject: Sendable {
    let instances: InstancesService
    let images: ImagesService
    let published: PublishedObjects
    let operations: OperationRegistry
    let hypervisors: [HypervisorName]
    let hasNetwork: Bool
    let logger: Logger

    var interface: Interface { Interface(AgentInterface.manager, instanceMembers + imageMembers + common) }

    private var common: [Interface.Member] {
        [
            .method("WaitOperation", ["operation"]) { (_: Call, path: ObjectPath) in
                try await answering { try await operations.wait(path) }
            },
            .property("Version", .constant) { AgentVersion.current },
            .property("Platform", .constant) { Platform.host.description },
            .property("Hypervisors", .constant) { hypervisors.map(\.rawValue) },
            .property("HasNetwork", .constant) { hasNetwork },
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
                (_: Call, specification: [String: Variant], flags: UInt64) in
                try await answering { try await create(specification, try CallFlags(flags)) }
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

    /// Answers once the instance is stored and has its object, or has been refused.
    private func create(
        _ specification: [String: Variant],
        _ flags: CallFlags
    ) async throws -> (ObjectPath, ObjectPath) {
        let request = try CreateInstanceRequest(specification)
        let accepted = OneShot<Result<Instance, any Error>>()
        let end = OneShot<Result<Void, any Error>>()
        // Belongs to the agent from here on.
        Task {
            do {
                _ = try await instances.create(request) { accepted.fulfil(.success($0)) }
                end.fulfil(.success(()))
            } catch {
                accepted.fulfil(.failure(error))
                end.fulfil(.failure(error))
            }
        }
        let path = ObjectPath.instance(try await accepted.wait().get().id)
        if let id = InstanceID(rawValue: path.lastElement ?? "") { await published.show(id) }
        let operation = await operations.begin("create", on: path) { _ in try await end.wait().get() }
        if flags.waits { try await operations.wait(operation) }
        return (path, operation)
    }

    /// What instances have used; all of them if none is named.
    ///
    /// One that is gone is left out.
    private func stats(_ paths: [ObjectPath]) async throws -> [ObjectPath: [String: Variant]] {
        var chosen = instances.list().map(\.id)
        if !paths.isEmpty {
            chosen = try paths.map { path throws(AgentError) in
                guard let id = path.element(below: "instances").flatMap(InstanceID.init) else {
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
            "ResidentMemory": Variant(.uint64(UInt64(clamping: usage.machine?.residentMemory.bytes ?? 0))),
            "ReceivedBytes": Variant(.uint64(usage.network?.receivedBytes ?? 0)),
            "SentBytes": Variant(.uint64(usage.network?.sentBytes ?? 0)),
            "VCPUs": Variant(.uint32(UInt32(clamping: usage.instance.specification.vcpus))),
            "Memory": Variant(.uint64(UInt64(clamping: usage.instance.specification.memory.bytes))),
        ]
    }

    // MARK: Images

    private var imageMembers: [Interface.Member] {
        [
            .method("ListImages", returns: ["images"]) { (_: Call) in
                images.list().map { image in
                    ListEntry(
                        .image(image.name),
                        image.name,
                        ObjectTables.image.values(ObjectTables.listedOfImages, of: image)
                    )
                }
            },
            .method("GetImage", ["name"], returns: ["image"]) { (_: Call, name: String) in
                try await answering { ObjectPath.image(try images.get(try ImageReference(name)).name) }
            },
            .method("PullImage", ["name", "options", "flags"], returns: ["image", "operation"]) {
                (_: Call, name: String, options: [String: Variant], flags: UInt64) in
                try await answering { try await pull(name, options, try CallFlags(flags)) }
            },
            .method("ImportImage", ["archive", "options", "flags"], returns: ["operation"]) {
                (_: Call, archive: UnixDescriptor, options: [String: Variant], flags: UInt64) in
                try await answering { try await take(archive, options, try CallFlags(flags)) }
            },
        ]
    }

    /// Answers once the registry has said which image the name stands for.
    private func pull(
        _ name: String,
        _ given: [String: Variant],
        _ flags: CallFlags
    ) async throws -> (ObjectPath, ObjectPath) {
        var options = Options(given)
        let tags: [String: String] = try options.take("Labels") ?? [:]
        try options.finish()
        let reference = try ImageReference(name)
        let image = try await images.pull(reference, tags: tags)
        await published.show(imageNamed: image.name)
        let path = ObjectPath.image(image.name)
        let operation = await operations.begin(
            "pull",
            on: path,
            cancel: { try await images.delete(reference) },
            { report in try await follow(reference, report) }
        )
        if flags.waits { try await operations.wait(operation) }
        return (path, operation)
    }

    private func take(
        _ archive: UnixDescriptor,
        _ given: [String: Variant],
        _ flags: CallFlags
    ) async throws -> ObjectPath {
        var options = Options(given)
        let name = try options.take("Name", String.self).map { text throws(AgentError) in try ImageReference(text) }
        let tags: [String: String] = try options.take("Labels") ?? [:]
        try options.finish()
        try Tags.validate(tags)
        let intake = ArchiveIntake(images: images, threads: .singleton, logger: logger)
        let source = try await intake.source(archive)
        let operation = await operations.begin(
            "import",
            on: name.map { .image($0.description) } ?? AgentBus.nothing
        ) { report in
            let image = try await images.importArchive(try await intake.receive(source), name: name, tags: tags)
            try await follow(try ImageReference(image.name), report)
        }
        if flags.waits { try await operations.wait(operation) }
        return operation
    }

    /// Reports how an image comes along, until it is ready.
    private func follow(
        _ reference: ImageReference,
        _ report: @Sendable (OperationRegistry.Progress) async -> Void
    ) async throws {
        for await progress in try images.progress(of: reference) {
            await report(
                OperationRegistry.Progress(
                    state: progress.status.rawValue,
                    completed: UInt64(clamping: progress.completed),
                    total: UInt64(clamping: progress.total ?? 0)
                )
            )
        }
        guard let image = try? images.get(reference) else {
            throw AgentError(.cancelled, "image '\(reference)' was deleted before it was ready")
        }
        guard image.status == .ready else {
            throw AgentError(
                .unavailable,
                code: "image_failed",
                "image '\(reference)' is \(image.status.rawValue): \(image.error ?? "the agent stops")"
            )
        }
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

import AgentCore
import DBus

/// What can be done with an instance.
struct InstanceMethods: Sendable {
    private static let longestWait = Duration.seconds(300)

    let id: InstanceID
    let instances: InstancesService
    let images: ImagesService
    let volumes: VolumesService
    let published: PublishedObjects
    let operations: OperationRegistry
    let streams: CallerStreams

    var members: [Interface.Member] { lifecycle + copies + volumeMembers + others + opening + files }

    var reference: String { id.rawValue }

    // MARK: Lifecycle

    private var lifecycle: [Interface.Member] {
        [
            operation("Start") { _ = try await $0.start($1) },
            .method("Stop", ["timeout_usec", "flags"], returns: ["operation"]) {
                (call: Call, timeout: UInt64, flags: UInt64) in
                // Neither a caller's 0 nor its largest number is meant as a time.
                let limit = Duration.microseconds(Int64(clamping: min(timeout, 86_400_000_000)))
                return try await begin("stop", call, flags) { instances, reference in
                    var request = StopInstanceRequest()
                    if timeout > 0 { request.signalDeadline = limit }
                    _ = try await instances.stop(reference, request)
                }
            },
            operation("Pause") { _ = try await $0.pause($1) },
            operation("Resume") { _ = try await $0.resume($1) },
            operation("Standby") { _ = try await $0.standby($1) },
            operation("Restore") { _ = try await $0.restore($1) },
            .method("Resize", ["size", "flags"], returns: ["operation"]) {
                (call: Call, size: [String: Variant], flags: UInt64) in
                try await answering {
                    let request = try UpdateInstanceRequest(size: size)
                    return try await begin("resize", call, flags) { _ = try await $0.update($1, request) }
                }
            },
            // Its volumes are nobody's then.
            .method("Delete", ["flags"], returns: ["operation"]) { (call: Call, flags: UInt64) in
                let mounts = (try? instances.get(reference))?.specification.volumes ?? []
                return try await begin("delete", call, flags, changing: mounts.map { .volume($0.volume) }) {
                    try await $0.delete($1)
                }
            },
        ]
    }

    /// A method that begins an operation and takes flags alone.
    private func operation(
        _ name: String,
        _ act: @escaping @Sendable (InstancesService, String) async throws -> Void
    ) -> Interface.Member {
        .method(name, ["flags"], returns: ["operation"]) { (call: Call, flags: UInt64) in
            try await begin(name.lowercased(), call, flags, act)
        }
    }

    func begin(
        _ kind: String,
        _ call: Call,
        _ flags: UInt64,
        changing others: [ObjectPath] = [],
        _ act: @escaping @Sendable (InstancesService, String) async throws -> Void
    ) async throws -> ObjectPath {
        try await answering {
            let flags = try CallFlags(flags)
            let (instances, reference) = (instances, reference)
            let path = try await operations.begin(kind, for: call, on: .instance(id), changing: others) { _ in
                try await act(instances, reference)
            }
            if flags.waits { try await operations.wait(path) }
            return path
        }
    }

    // MARK: Copies of it

    private var copies: [Interface.Member] {
        [
            .method("Fork", ["name", "options", "flags"], returns: ["instance", "operation"]) {
                (call: Call, name: String, options: [String: Variant], flags: UInt64) in
                try await answering {
                    let flags = try CallFlags(flags)
                    let request = try ForkInstanceRequest(name, options, ofSnapshot: false)
                    return try await NewInstance(published: published, operations: operations)
                        .begin("fork", for: call, flags) { onAccepted in
                            try await instances.fork(reference, request, onAccepted: onAccepted)
                        }
                }
            },
            .method("Commit", ["image", "options", "flags"], returns: ["operation"]) {
                (call: Call, image: String, options: [String: Variant], flags: UInt64) in
                try await answering {
                    let flags = try CallFlags(flags)
                    var options = Options(options)
                    let request = CommitInstanceRequest(
                        name: try ImageReference(image),
                        tags: try options.take("Labels") ?? [:]
                    )
                    try options.finish()
                    let (instances, images, reference) = (instances, images, reference)
                    let path = try await operations.begin("commit", for: call, on: .instance(id)) { report in
                        let image = try await instances.commit(reference, request, patience: StartPatience.standard)
                        try await images.follow(try ImageReference(image.name), report)
                    }
                    if flags.waits { try await operations.wait(path) }
                    return path
                }
            },
            .method("CreateSnapshot", ["options", "flags"], returns: ["snapshot", "operation"]) {
                (call: Call, options: [String: Variant], flags: UInt64) in
                try await answering {
                    let flags = try CallFlags(flags)
                    let request = try CreateSnapshotRequest(options, of: try instances.get(reference).state)
                    let snapshot = SnapshotID.random()
                    let path = try await operations.begin("snapshot", for: call, on: .snapshot(snapshot)) { _ in
                        _ = try await instances.createSnapshot(reference, request, as: snapshot)
                    }
                    if flags.waits { try await operations.wait(path) }
                    return (ObjectPath.snapshot(snapshot), path)
                }
            },
        ]
    }

    // MARK: Volumes

    private var volumeMembers: [Interface.Member] {
        [
            .method("AttachVolume", ["volume", "path", "options", "flags"], returns: ["operation"]) {
                (call: Call, volume: ObjectPath, path: String, options: [String: Variant], flags: UInt64) in
                try await answering {
                    var options = Options(options)
                    let readOnly = try options.take("ReadOnly") ?? false
                    try options.finish()
                    let request = VolumeMountRequest(
                        volume: try existing(volume).rawValue,
                        path: try MountPath(path),
                        readOnly: readOnly
                    )
                    return try await begin("attach-volume", call, flags, changing: [volume]) {
                        _ = try await $0.attachVolume($1, request)
                    }
                }
            },
            .method("DetachVolume", ["volume", "flags"], returns: ["operation"]) {
                (call: Call, volume: ObjectPath, flags: UInt64) in
                try await answering {
                    let id = try existing(volume)
                    return try await begin("detach-volume", call, flags, changing: [volume]) {
                        _ = try await $0.detachVolume($1, volume: id.rawValue)
                    }
                }
            },
        ]
    }

    /// The volume of a path; never another whose name is what the path says.
    private func existing(_ path: ObjectPath) throws(AgentError) -> VolumeID {
        guard let id = path.volume else {
            throw AgentError(.invalidArgument, "\(path) is not a volume's path")
        }
        guard try volumes.get(id.rawValue).id == id else {
            throw AgentError(.notFound, "there is no volume \(path)")
        }
        return id
    }

    // MARK: The rest

    private var others: [Interface.Member] {
        [
            .method("Kill", ["signal"]) { (_: Call, signal: Int32) in
                try await answering { try await instances.signal(reference, Int(signal)) }
            },
            .method("SetRestartPolicy", ["policy"]) { (_: Call, policy: [String: Variant]) in
                try await answering {
                    var options = Options(policy)
                    let policy = try RestartPolicy(&options) ?? RestartPolicy(mode: .never)
                    try options.finish()
                    _ = try await instances.update(reference, UpdateInstanceRequest(restartPolicy: policy))
                    await published.show(id)
                }
            },
            .method("Wait", ["state", "timeout_usec"], returns: ["state", "timed_out"]) {
                (call: Call, state: String, timeout: UInt64) in
                try await answering {
                    let state = try InstanceState(text: state)
                    let limit = min(.microseconds(Int64(clamping: timeout)), Self.longestWait)
                    // Nobody waits for a caller that is gone.
                    let result = try await streams.whileCallerLives(call) {
                        try await instances.wait(reference, for: state, timeout: limit)
                    }
                    // Who learns of a state here finds it in the properties.
                    await published.show(id)
                    return (result.instance.state.rawValue, result.timedOut)
                }
            },
        ]
    }
}

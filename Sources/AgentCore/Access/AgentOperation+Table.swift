extension AgentOperation {
    /// Its line of the table.
    public var row: Row {
        switch self {
        // The agent itself
        case .getHealth: .init("GET /health", "health", .open)
        case .getReady: .init("GET /ready", nil, .open)
        case .getSpecificationYAML: .init("GET /spec.yaml", nil, .open)
        case .getSpecificationJSON: .init("GET /spec.json", nil, .open)
        case .getCapabilities: .init("GET /capabilities", "version", .known, ["Manager.*"], .systemRead)
        case .getResources:
            .init("GET /resources", "resources", .instance(.read), ["Manager.GetResources"], .instanceRead)
        case .getDiskUsage:
            .init("GET /system/df", "system df", .instance(.read), ["Manager.GetDiskUsage"], .instanceRead)
        case .followEvents: .init("GET /events", "events", .instance(.read), errors: [.invalidState])

        // Images
        case .listImages: .init("GET /images", "images", .image(.read), ["Manager.ListImages"], .imageRead)
        case .getImage:
            .init(
                "GET /images/{name}",
                "inspect",
                .image(.read),
                ["Manager.GetImage", "Image.*"],
                .imageRead,
                Self.missing
            )
        case .pullImage:
            .init("POST /images", "pull", .image(.write), ["Manager.PullImage"], .imageWrite, Self.incoming)
        case .importImage:
            .init("POST /images/import", "import", .image(.write), ["Manager.ImportImage"], .imageWrite, Self.incoming)
        case .followImageProgress:
            .init("GET /images/{name}/progress", "pull", .image(.read), errors: Self.missing)
        case .saveImage:
            .init(
                "GET /images/{name}/archive",
                "save",
                .image(.read),
                ["Image.OpenArchive"],
                .imageRead,
                Self.missing.union([.invalidState, .quotaExceeded, .storageFull])
            )
        case .pruneImages:
            .init("POST /images/prune", "image prune", .image(.delete), ["Manager.PruneImages"], .imageDelete)
        case .deleteImage:
            .init(
                "DELETE /images/{name}",
                "rmi",
                .image(.delete),
                ["Image.Delete"],
                .imageDelete,
                Self.missing.union([.busy])
            )

        // Instances
        case .listInstances:
            .init("GET /instances", "ps", .instance(.read), ["Manager.ListInstances"], .instanceRead)
        case .getInstance:
            .init(
                "GET /instances/{id}",
                "inspect",
                .instance(.read),
                ["Manager.GetInstance", "Instance.*"],
                .instanceRead,
                Self.missing
            )
        case .createInstance:
            .init(
                "POST /instances",
                "run",
                .instance(.write),
                ["Manager.CreateInstance"],
                .instanceCreate,
                Self.start
            )
        case .updateInstance:
            .init(
                "PATCH /instances/{id}",
                "update",
                .instance(.write),
                ["Instance.SetRestartPolicy", "Instance.Resize"],
                .instanceManage,
                Self.change
            )
        case .deleteInstance:
            .init(
                "DELETE /instances/{id}",
                "rm",
                .instance(.delete),
                ["Instance.Delete"],
                .instanceDelete,
                Self.change
            )
        case .startInstance: .verb("start", ["Instance.Start"], Self.start)
        case .stopInstance: .verb("stop", ["Instance.Stop"], Self.change)
        case .pauseInstance: .verb("pause", ["Instance.Pause"], Self.change)
        case .resumeInstance: .verb("resume", ["Instance.Resume"], Self.change)
        case .standbyInstance: .verb("standby", ["Instance.Standby"], Self.change)
        case .restoreInstance: .verb("restore", ["Instance.Restore"], Self.start)
        case .signalInstance: .init(nil, nil, .instance(.write), ["Instance.Kill"], .instanceManage, Self.change)
        case .forkInstance:
            .init(
                "POST /instances/{id}/fork",
                "fork",
                .instance(.write),
                ["Instance.Fork"],
                .instanceFork,
                Self.start
            )
        case .commitInstance:
            .init(
                "POST /instances/{id}/commit",
                "commit",
                .scopes(Scope(.instance, .write), Scope(.image, .write)),
                ["Instance.Commit"],
                .instanceFork,
                Self.opening.union([.storageFull, .busy])
            )
        case .getInstanceStats:
            .init(
                "GET /instances/{id}/stats",
                "stats",
                .instance(.read),
                ["Manager.GetStats"],
                .instanceRead,
                Self.missing
            )
        case .waitForInstance:
            .init("GET /instances/{id}/wait", "wait", .instance(.read), ["Instance.Wait"], .instanceRead, Self.missing)
        case .readLogs:
            .init(
                "GET /instances/{id}/logs",
                "logs",
                .instance(.read),
                ["Instance.OpenLogs"],
                .instanceLogs,
                Self.opening
            )
        case .execInInstance:
            .init(
                "GET /instances/{id}/exec",
                "exec",
                .instance(.write),
                ["Instance.OpenExec", "Instance.OpenPTY"],
                .instanceExec,
                Self.opening
            )
        case .attachToInstance:
            .init(
                "GET /instances/{id}/attach",
                "attach",
                .instance(.write),
                ["Instance.OpenAttach"],
                .instanceExec,
                Self.opening
            )
        case .followConsole:
            .init(
                "GET /instances/{id}/console",
                "console",
                .instance(.read),
                ["Instance.OpenConsole"],
                .instanceLogs,
                Self.opening
            )
        case .getPathStatus: .init("GET /instances/{id}/stat", nil, .instance(.read), errors: Self.opening)
        case .copyFiles:
            .init(
                "GET /instances/{id}/cp",
                "cp",
                .instance(.write),
                ["Instance.CopyTo", "Instance.CopyFrom"],
                .instanceExec,
                Self.opening.union([.storageFull])
            )

        // Snapshots
        case .listSnapshots:
            .init("GET /snapshots", "snapshot list", .snapshot(.read), ["Manager.ListSnapshots"], .snapshotRead)
        case .getSnapshot:
            .init(
                "GET /snapshots/{id}",
                "snapshot get",
                .snapshot(.read),
                ["Manager.GetSnapshot", "Snapshot.*"],
                .snapshotRead,
                Self.missing
            )
        case .createSnapshot:
            .init(
                "POST /instances/{id}/snapshots",
                "snapshot create",
                .snapshot(.write),
                ["Instance.CreateSnapshot"],
                .snapshotWrite,
                Self.change.union([.alreadyExists])
            )
        case .restoreSnapshot:
            .init(
                "POST /instances/{id}/snapshots/{snapshotId}/restore",
                "snapshot restore",
                .instance(.write),
                ["Snapshot.Restore"],
                .instanceManage,
                Self.start
            )
        case .forkSnapshot:
            .init(
                "POST /snapshots/{id}/fork",
                "snapshot fork",
                .instance(.write),
                ["Snapshot.Fork"],
                .instanceFork,
                Self.start
            )
        case .deleteSnapshot:
            .init(
                "DELETE /snapshots/{id}",
                "snapshot delete",
                .snapshot(.delete),
                ["Snapshot.Delete"],
                .snapshotDelete,
                Self.missing.union([.busy])
            )

        // Volumes
        case .listVolumes:
            .init("GET /volumes", "volume ls", .volume(.read), ["Manager.ListVolumes"], .volumeRead)
        case .getVolume:
            .init(
                "GET /volumes/{id}",
                "volume inspect",
                .volume(.read),
                ["Manager.GetVolume", "Volume.*"],
                .volumeRead,
                Self.missing
            )
        case .createVolume:
            .init(
                "POST /volumes",
                "volume create",
                .volume(.write),
                ["Manager.CreateVolume"],
                .volumeWrite,
                Self.newVolume
            )
        case .importVolume:
            .init(
                "POST /volumes/from-archive",
                "volume create",
                .volume(.write),
                ["Manager.ImportVolume"],
                .volumeWrite,
                Self.newVolume
            )
        case .growVolume:
            .init(
                "PATCH /volumes/{id}",
                "volume grow",
                .volume(.write),
                ["Volume.Grow"],
                .volumeWrite,
                Self.missing.union([.invalidState, .quotaExceeded, .storageFull, .timeout])
            )
        case .deleteVolume:
            .init(
                "DELETE /volumes/{id}",
                "volume rm",
                .volume(.delete),
                ["Volume.Delete"],
                .volumeDelete,
                Self.missing.union([.invalidState])
            )
        case .attachVolume:
            .init(
                "POST /instances/{id}/volumes/{volumeId}",
                "volume attach",
                .instance(.write),
                ["Instance.AttachVolume"],
                .volumeAttach,
                Self.change.union([.alreadyExists])
            )
        case .detachVolume:
            .init(
                "DELETE /instances/{id}/volumes/{volumeId}",
                "volume detach",
                .instance(.write),
                ["Instance.DetachVolume"],
                .instanceManage,
                Self.change
            )

        // What D-Bus alone has objects for
        case .getNetwork:
            .init(nil, nil, .instance(.read), ["Network.*", "Manager.ListNetworks"], .networkRead)
        case .getOperation: .init(nil, nil, .instance(.read), ["Operation.*"], .instanceRead)
        case .waitForOperation:
            .init(
                nil,
                nil,
                .instance(.read),
                ["Manager.WaitOperation"],
                .instanceRead,
                Set(AgentError.Kind.allCases)
            )
        case .cancelOperation:
            .init(
                nil,
                nil,
                .instance(.write),
                ["Operation.Cancel"],
                .instanceManage,
                Self.missing.union([.notSupported])
            )
        case .controlProcess:
            // Who has opened it was asked then.
            .init(
                nil,
                nil,
                .known,
                ["Process.*", "Process.Signal", "Process.Resize", "Process.Wait"],
                nil,
                Self.change
            )
        }
    }

    /// A reference that names nothing, or too much.
    private static let missing: Set<AgentError.Kind> = [.notFound, .ambiguous]
    /// What changes an instance.
    private static let change = missing.union([
        .invalidState, .notSupported, .quotaExceeded, .storageFull, .timeout, .busy,
    ])
    /// What starts a VMM.
    private static let start = change.union([.alreadyExists, .versionMismatch])
    /// What gives a caller a stream.
    private static let opening = missing.union([.invalidState, .notSupported, .quotaExceeded, .timeout])
    /// What makes a volume.
    private static let newVolume: Set<AgentError.Kind> = [.alreadyExists, .quotaExceeded, .storageFull, .timeout]
    /// What brings an image in.
    private static let incoming: Set<AgentError.Kind> = [
        .notFound, .alreadyExists, .quotaExceeded, .storageFull, .notSupported, .timeout,
    ]
}

extension AgentOperation.Row {
    fileprivate init(
        _ http: String?,
        _ command: String?,
        _ access: Access,
        _ dbus: [String] = [],
        _ action: PolkitAction? = nil,
        _ errors: Set<AgentError.Kind> = []
    ) {
        let parts = http?.split(separator: " ").map(String.init)
        self.http = parts.map { AgentOperation.Endpoint(method: $0[0], path: $0[1]) }
        (self.command, self.access, self.dbus, self.action, self.errors) = (command, access, dbus, action, errors)
    }

    fileprivate init(_ http: String?, _ command: String?, _ access: Access, errors: Set<AgentError.Kind>) {
        self.init(http, command, access, [], nil, errors)
    }

    /// What is done to an instance: `POST /instances/{id}/VERB`, `hypeman VERB`.
    fileprivate static func verb(_ verb: String, _ dbus: [String], _ errors: Set<AgentError.Kind>) -> Self {
        Self("POST /instances/{id}/\(verb)", verb, .instance(.write), dbus, .instanceManage, errors)
    }
}

extension Access {
    fileprivate static func instance(_ verb: Scope.Verb) -> Access { .scope(Scope(.instance, verb)) }
    fileprivate static func image(_ verb: Scope.Verb) -> Access { .scope(Scope(.image, verb)) }
    fileprivate static func volume(_ verb: Scope.Verb) -> Access { .scope(Scope(.volume, verb)) }
    fileprivate static func snapshot(_ verb: Scope.Verb) -> Access { .scope(Scope(.snapshot, verb)) }
}

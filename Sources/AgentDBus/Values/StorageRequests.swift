import AgentCore
import DBus

import struct Foundation.Date

extension CreateSnapshotRequest {
    /// - Parameters:
    ///   - given: What a caller asked for.
    ///   - state: Of the instance, which decides what is kept if nobody says so.
    /// - Throws: `invalidArgument`.
    init(_ given: [String: Variant], of state: InstanceState) throws(AgentError) {
        var options = Options(given)
        let kind = try options.take("Kind", String.self).map { text throws(AgentError) in
            try Snapshot.Kind(text: text)
        }
        let name = try options.take("Name", String.self).map { text throws(AgentError) in try InstanceName(text) }
        let tags: [String: String] = try options.take("Labels") ?? [:]
        try options.finish()
        self.init(kind: kind ?? (state == .stopped ? .stopped : .standby), name: name, tags: tags)
    }
}

extension Snapshot.Kind {
    /// - Throws: `invalidArgument` `invalid_kind`.
    init(text: String) throws(AgentError) {
        try self.init(word: text, of: "Kind", code: "invalid_kind")
    }
}

extension SnapshotFilter {
    init(_ filter: [String: Variant]) throws(AgentError) {
        self.init()
        var options = Options(filter)
        kind = try options.take("Kind", String.self).map { text throws(AgentError) in
            try Snapshot.Kind(text: text)
        }
        name = try options.take("Name", String.self).map { text throws(AgentError) in try InstanceName(text) }
        instance = try options.take("Instance", ObjectPath.self).map { path throws(AgentError) in
            guard let id = path.instance else {
                throw AgentError(.invalidArgument, "\(path) is not an instance's path")
            }
            return id
        }
        tags = try options.take("Labels") ?? [:]
        try options.finish()
    }
}

extension CreateVolumeRequest {
    /// What a caller asked for; sizes are bytes.
    init(_ specification: [String: Variant]) throws(AgentError) {
        var options = Options(specification)
        let name = try VolumeName(try options.require("Name"))
        guard let size = try options.number("Size") else {
            throw AgentError(.invalidArgument, code: "missing_field", "Size is required")
        }
        let id = try options.take("Id", String.self).map { text throws(AgentError) in try VolumeID(text) }
        let tags: [String: String] = try options.take("Labels") ?? [:]
        try options.finish()
        self.init(name: name, size: ByteSize(bytes: size), id: id, tags: tags)
    }
}

extension VolumeFilter {
    init(_ filter: [String: Variant]) throws(AgentError) {
        self.init()
        var options = Options(filter)
        name = try options.take("Name")
        tags = try options.take("Labels") ?? [:]
        try options.finish()
    }
}

extension ImagePruneRequest {
    init(_ given: [String: Variant]) throws(AgentError) {
        self.init()
        var options = Options(given)
        all = try options.take("All") ?? false
        dryRun = try options.take("DryRun") ?? false
        if let time = try options.number("CreatedBeforeUSec") {
            createdBefore = Date(timeIntervalSince1970: Double(time) / 1_000_000)
        }
        labels = try (options.take("Labels", [String: String].self) ?? [:])
            .sorted { $0.key < $1.key }
            .map { ImagePruneRequest.Label($0.key, value: $0.value) }
        try options.finish()
    }
}

extension RegistryCredentials {
    /// Those of a pull; nil without any.
    ///
    /// - Throws: `invalidArgument` `invalid_registry_auth` for half of them or for more than one kind.
    init?(_ options: inout Options) throws(AgentError) {
        let user: String? = try options.take("Username")
        let password: String? = try options.take("Password")
        let identityToken: String? = try options.take("IdentityToken")
        let registryToken: String? = try options.take("RegistryToken")
        switch (user, password, identityToken, registryToken) {
        case (nil, nil, nil, nil): return nil
        case (let user?, let password?, nil, nil): self = .password(user: user, password: password)
        case (nil, nil, let token?, nil): self = .identityToken(token)
        case (nil, nil, nil, let token?): self = .registryToken(token)
        default:
            throw AgentError(
                .invalidArgument,
                code: "invalid_registry_auth",
                "credentials are either Username and Password, or IdentityToken, or RegistryToken"
            )
        }
        if let fault {
            throw AgentError(.invalidArgument, code: "invalid_registry_auth", "what the registry is shown \(fault)")
        }
    }
}

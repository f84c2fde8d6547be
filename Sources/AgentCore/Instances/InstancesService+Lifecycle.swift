extension InstancesService {
    /// Lets an instance's vCPUs stand still; its memory stays where it is.
    ///
    /// One that is Paused is returned as it is. It stays Paused until somebody resumes it, also over a restart of the agent.
    ///
    /// - Throws: `invalidState` unless it is Running.
    public func pause(_ reference: String) async throws -> Instance {
        try await perform(.pause, on: reference) { try await $0.pause() }
    }

    /// Lets a Paused instance run on, and tells its guest what time it is.
    ///
    /// One that is Running is returned as it is.
    ///
    /// - Throws: `invalidState` unless it is Paused.
    public func resume(_ reference: String) async throws -> Instance {
        try await perform(.resume, on: reference) { try await $0.resume() }
    }

    /// Puts an instance's memory on disk and ends its VMM; address, name and disks stay its own.
    ///
    /// One that is in Standby is returned as it is. A failure leaves it as it was.
    ///
    /// - Throws: `invalidState` unless it is Running or Paused; `notSupported` `snapshot_not_supported`; `storageFull`.
    public func standby(_ reference: String) async throws -> Instance {
        try await perform(.standby, on: reference) { try await $0.standby() }
    }

    /// Takes an instance's memory up from disk where ``standby(_:)`` left it; returns when it runs.
    ///
    /// A failure leaves it in Standby.
    ///
    /// - Throws: `invalidState` unless it is in Standby, and with `snapshot_missing`, `snapshot_corrupt`,
    ///   `snapshot_disk_mismatch` or `snapshot_unreadable` if its memory cannot be taken up; `versionMismatch`
    ///   `snapshot_version_mismatch`; `alreadyExists` `port_in_use`.
    public func restore(_ reference: String) async throws -> Instance {
        try await perform(.restore, on: reference) { try await $0.restore() }
    }

    /// Changes what may be changed of an instance.
    ///
    /// Another size of one that is Running has been taken on by its VMM when this returns; its guest may take a while to
    /// give memory back. That of one that is Stopped holds from its next start on.
    ///
    /// - Throws: `invalidArgument` with the field's code; for a size `quotaExceeded`, `invalidState` in other states, and
    ///   with `no_room` beyond what the machine was started with room for, `notSupported` `resize_not_supported`,
    ///   `timeout` if its guest does not let go of a vCPU.
    public func update(_ reference: String, _ request: UpdateInstanceRequest) async throws -> Instance {
        let policy = try request.restartPolicy.flatMap { asked throws(AgentError) in try restartPolicy(asked) }
        if let count = request.vcpus { _ = try vcpus(count) }
        if let size = request.memory { _ = try memory(size) }
        return try await perform(.update, on: reference) { try await $0.update(request, policy) }
    }

    func perform(
        _ kind: Operation.Kind,
        on reference: String,
        _ body: @escaping @Sendable (InstanceController) async throws -> Void
    ) async throws -> Instance {
        let controller = try controller(reference)
        try await controller.perform(kind, body)
        return try get(controller.id.rawValue)
    }
}

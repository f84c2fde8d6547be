extension InstancesService {
    /// Gives an instance a volume: one that runs has it mounted when this returns, a stopped one from its next start on.
    ///
    /// - Parameters:
    ///   - reference: Which instance.
    ///   - request: Which volume, where and how; without an overlay.
    /// - Returns: The instance, with it.
    /// - Throws: `notFound`; `invalidArgument` `invalid_mount_path` or `too_many_volumes`; `alreadyExists`
    ///   `volume_attached`; `invalidState` `volume_in_use`, or unless it is Running or Stopped, or with what the guest says;
    ///   `notSupported` `hotplug_not_supported` or `guest_too_old`; `quotaExceeded` `no_free_slot`. It is as before then.
    public func attachVolume(_ reference: String, _ request: VolumeMountRequest) async throws -> Instance {
        let instance = try get(reference)
        let mount = try context.volumes.resolve([request])
        return try await perform(.attachVolume, on: instance.id.rawValue) { controller in
            for mount in mount { try await controller.attachVolume(mount) }
        }
    }

    /// Takes a volume from an instance: one that runs does not have it mounted any more when this returns.
    ///
    /// - Throws: `notFound`, with `volume_not_attached`; `invalidState` unless it is Running or Stopped, with
    ///   `volume_not_hotplugged`, or if somebody in the guest uses it; `timeout`. It has it as before then, or the
    ///   instance's `stateError` says that it is not known, which is settled as soon as the guest answers.
    public func detachVolume(_ reference: String, volume: String) async throws -> Instance {
        let instance = try get(reference)
        let id = try context.volumes.get(volume).id
        return try await perform(.detachVolume, on: instance.id.rawValue) { try await $0.detachVolume(id) }
    }
}

public import AgentCore
public import SystemPackage

/// What the routes need of ``VolumesService``, whose documentation is the contract.
public protocol VolumeOperations: Sendable {
    func list(_ filter: VolumeFilter) -> [Volume]
    func get(_ reference: String) throws(AgentError) -> Volume
    func check(_ request: CreateVolumeRequest) throws(AgentError)
    func newArchiveFile() async throws -> FilePath
    func discard(_ archive: FilePath) async
    func create(_ request: CreateVolumeRequest, from archive: FilePath?) async throws -> Volume
    func grow(_ reference: String, to size: ByteSize) async throws -> Volume
    func delete(_ reference: String) async throws
}

extension VolumesService: VolumeOperations {}

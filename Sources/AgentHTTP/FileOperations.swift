public import AgentCore
public import GuestProtocol

/// What the routes need of ``InstancesService`` for copies, whose documentation is the contract.
public protocol InstanceFileOperations: Sendable {
    func pathStatus(
        _ reference: String,
        _ request: GuestPathRequest,
        patience: Duration
    ) async throws -> GuestPathStatus
    func copyFrom(
        _ reference: String,
        _ request: GuestReadRequest,
        patience: Duration
    ) async throws -> AsyncThrowingStream<GuestArchiveEvent, any Error>
    func copyTo(
        _ reference: String,
        _ request: GuestWriteRequest,
        patience: Duration
    ) async throws -> any GuestArchiveInput
}

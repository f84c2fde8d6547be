import AgentAPI
import AgentCore
import GuestProtocol

extension PathInfoResponse {
    init(_ status: GuestPathStatus) {
        self.init(
            exists: status.kind != nil,
            isDirectory: status.kind == .directory,
            isFile: status.kind == .file,
            isSymbolicLink: status.kind == .symbolicLink,
            linkTarget: status.linkTarget,
            mode: status.mode,
            size: status.size,
            realPath: status.realPath
        )
    }

    /// Of a path that could not be looked at for a reason of its own; nil for errors that have nothing to do with it.
    init?(_ error: AgentError) {
        guard ["not_a_directory", "path_outside", "guest_refused", "guest_failed"].contains(error.code) else {
            return nil
        }
        self.init(exists: false, error: error.message)
    }
}

extension InstanceFileOperations {
    /// What is at a path, as existing clients expect it: what is wrong with the path itself is no error.
    func pathInfo(_ reference: String, _ request: GuestPathRequest, patience: Duration) async throws -> PathInfoResponse
    {
        do {
            return PathInfoResponse(try await pathStatus(reference, request, patience: patience))
        } catch let error as AgentError {
            guard let info = PathInfoResponse(error) else { throw error }
            return info
        }
    }
}

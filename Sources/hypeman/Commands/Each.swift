import Foundation

/// The same for several subjects: one that fails does not keep the others from their turn.
enum Each {
    /// Calls `act` for each subject and prints those for which it worked.
    ///
    /// - Returns: The exit code.
    static func perform(_ subjects: [String], _ act: (String) async throws -> Void) async throws -> Int32 {
        var status: Int32 = 0
        for subject in subjects {
            do {
                try await act(subject)
                print(subject)
            } catch let error as AgentRefusal {
                FileHandle.standardError.write(Data("\(error.commandError())\n".utf8))
                status = ExitStatus.failure
            }
        }
        return status
    }
}

import AgentCore

/// Devices that a guest has to let go of before they are gone.
struct QEMURemoval {
    /// How long a guest may take to let go of something.
    ///
    /// One that runs takes some 50 ms, one that is still booting lets go once its kernel has found the device.
    static let patience = Duration.seconds(10)
    /// After this it is asked again: a kernel that boots forgets what it was asked before.
    private static let repetition = Duration.seconds(1)

    let control: QMPClient
    let instance: InstanceID
    let sink: QEMUEventSink

    /// Asks the guest to let go of a device until it has.
    ///
    /// - Parameters:
    ///   - device: Its id, or its path (`/machine/…`) where it has none.
    ///   - what: It, for the message.
    /// - Throws: `timeout` if the guest keeps it.
    func remove(_ device: String, _ what: String) async throws {
        let departure = sink.departure(of: device)
        try await withDeadline(
            Self.patience,
            "the guest of instance \(instance) did not let go of \(what) within \(Self.patience)"
        ) {
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                defer { tasks.cancelAll() }
                tasks.addTask { for await _ in departure {} }
                tasks.addTask {
                    while try await request(device) { try await Task.sleep(for: Self.repetition) }
                }
                try await tasks.next()
            }
            // A cancelled wait ends as one for a device that is gone does.
            try Task.checkCancellation()
        }
    }

    /// - Returns: false if it is not there any more.
    private func request(_ device: String) async throws -> Bool {
        do {
            try await control.execute("device_del", ["id": device])
            return true
        } catch let error as AgentError {
            guard let failure = error.cause as? QMPFailure else { throw error }
            if failure.class == "DeviceNotFound" { return false }
            // It was asked already, and takes its time.
            guard failure.desc.contains("in the process of unplug") else { throw error }
            return true
        }
    }
}

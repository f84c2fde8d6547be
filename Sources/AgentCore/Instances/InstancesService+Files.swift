public import GuestProtocol

extension InstancesService {
    /// What is at a path of an instance's; that there is nothing is no error.
    ///
    /// - Parameters:
    ///   - reference: Which instance.
    ///   - request: The path, absolute.
    ///   - patience: How long to wait for an instance that is still Initializing.
    /// - Returns: What is there.
    /// - Throws: `invalidState` if it isn't Running; as ``GuestChannel/status(of:)``.
    public func pathStatus(
        _ reference: String,
        _ request: GuestPathRequest,
        patience: Duration
    ) async throws -> GuestPathStatus {
        try Self.check(request.path)
        return try await controller(reference).channelForFiles(patience: patience).status(of: request)
    }

    /// Files of an instance's as a tar archive, of any size.
    ///
    /// - Parameters:
    ///   - reference: Which instance.
    ///   - request: What is wanted, and what it is called in the archive.
    ///   - patience: How long to wait for an instance that is still Initializing.
    /// - Returns: The archive, as ``GuestChannel/readFiles(_:)`` gives it.
    /// - Throws: `invalidState` if it isn't Running; `notFound` `path_not_found`; as ``GuestChannel/readFiles(_:)``.
    public func copyFrom(
        _ reference: String,
        _ request: GuestReadRequest,
        patience: Duration
    ) async throws -> AsyncThrowingStream<GuestArchiveEvent, any Error> {
        try Self.check(request.path)
        if let name = request.name, name.isEmpty || name.contains("/") || name.contains("\0") {
            throw AgentError(.invalidArgument, code: "invalid_field", "'\(name.prefix(100))' is not the name of a file")
        }
        return try await controller(reference).channelForFiles(patience: patience).readFiles(request)
    }

    /// Unpacks a tar archive in an instance, of any size.
    ///
    /// - Parameters:
    ///   - reference: Which instance.
    ///   - request: The directory below which its files go, and what becomes of their owners.
    ///   - patience: How long to wait for an instance that is still Initializing.
    /// - Returns: Where to write the archive.
    /// - Throws: `invalidState` if it isn't Running; as ``GuestChannel/writeFiles(_:)``.
    public func copyTo(
        _ reference: String,
        _ request: GuestWriteRequest,
        patience: Duration
    ) async throws -> any GuestArchiveInput {
        try Self.check(request.path)
        return try await controller(reference).channelForFiles(patience: patience).writeFiles(request)
    }

    private static func check(_ path: String) throws(AgentError) {
        guard path.hasPrefix("/"), !path.contains("\0"), path.utf8.count < 4096 else {
            throw AgentError(
                .invalidArgument,
                code: "invalid_path",
                "the path '\(path.prefix(100))' must be absolute, and shorter than 4096 bytes"
            )
        }
    }
}

extension InstanceController {
    /// The conversation with a guest that can copy files.
    fileprivate func channelForFiles(patience: Duration) async throws -> any GuestChannel {
        try await channel(that: GuestFeature.files, "copy files", patience: patience)
    }

    /// The conversation with a guest that has a feature.
    ///
    /// - Parameters:
    ///   - feature: One of `GuestFeature`.
    ///   - ability: What the guest can do with it, as in "cannot copy files".
    ///   - patience: How long to wait for an instance that is still Initializing.
    /// - Returns: The conversation.
    /// - Throws: `invalidState` if it isn't Running; `notSupported` with code `guest_too_old` if it lacks the feature.
    func channel(that feature: String, _ ability: String, patience: Duration) async throws -> any GuestChannel {
        let channel = try await runningChannel(patience: patience)
        guard channel.hello.features.contains(feature) else {
            throw AgentError(
                .notSupported,
                code: "guest_too_old",
                """
                the guest of instance '\(instance.name)' cannot \(ability): its hypeman-init \(channel.hello.initVersion) is \
                older than this agent; stop and start the instance
                """
            )
        }
        return channel
    }
}

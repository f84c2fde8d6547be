import AgentAPI

extension AgentClient {
    /// The path of an instance.
    static func path(instance: String, _ rest: String = "") -> String {
        "/instances/\(PercentEncoding.encode(instance))\(rest)"
    }

    /// The path of a snapshot.
    static func path(snapshot: String, _ rest: String = "") -> String {
        "/snapshots/\(PercentEncoding.encode(snapshot))\(rest)"
    }

    /// The path of an image; its slashes are part of one segment.
    static func path(image: String, _ rest: String = "") -> String {
        "/images/\(PercentEncoding.encode(image))\(rest)"
    }

    func instance(_ reference: String) async throws -> InstanceResponse {
        try await call(.get, Self.path(instance: reference))
    }

    /// The image of a name, nil if the agent doesn't know it.
    func image(_ name: String) async throws -> ImageResponse? {
        do {
            return try await call(.get, Self.path(image: name), as: ImageResponse.self)
        } catch let error as AgentRefusal where error.status == 404 {
            return nil
        }
    }

    /// Follows a pull or import to its end.
    ///
    /// - Returns: The image, which is ready.
    func follow(_ image: ImageResponse, _ progress: (ImageProgressResponse) async throws -> Void) async throws
        -> ImageResponse
    {
        try await events(Self.path(image: image.name, "/progress"), of: ImageProgressResponse.self) { event in
            try await progress(event)
            // The agent ends the stream after the last event; leaving early would cost the connection.
            return true
        }
        guard let now = try await self.image(image.name) else {
            throw CommandError("image \(image.name) was removed meanwhile")
        }
        guard now.status == "ready" else {
            throw CommandError("image \(now.name) could not be made ready: \(now.error ?? "it is \(now.status)")")
        }
        return now
    }

    /// Waits until an instance has stopped, however long that takes.
    func waitUntilStopped(_ reference: String) async throws -> WaitResponse {
        try await wait(reference, for: "Stopped")
    }

    /// Waits until an instance is in a state or cannot come to it any more, however long that takes.
    func wait(_ reference: String, for state: String) async throws -> WaitResponse {
        while true {
            let answer = try await call(
                .get,
                Self.path(instance: reference, "/wait?state=\(state)&timeout=300s"),
                as: WaitResponse.self
            )
            if !answer.timedOut { return answer }
        }
    }
}

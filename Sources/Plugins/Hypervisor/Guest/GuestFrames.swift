import AgentCore
import GuestProtocol
import NIOCore

/// The frames in an answer's body, to one reader.
actor GuestFrames {
    private let open: @Sendable () async throws -> GuestStream
    private var stream: GuestStream?
    private var decoder = GuestFrameDecoder()

    /// Makes the frames of a request that is made when the first of them is wanted.
    init(open: @escaping @Sendable () async throws -> GuestStream) {
        self.open = open
    }

    /// The next frame, nil at the body's end.
    ///
    /// - Throws: ``AgentError`` `unavailable` when the connection is lost or the guest breaks the framing.
    func next() async throws -> GuestFrame? {
        let stream: GuestStream
        if let opened = self.stream {
            stream = opened
        } else {
            stream = try await open()
            self.stream = stream
        }
        do {
            while true {
                if let frame = try decoder.next() { return frame }
                guard let chunk = try await stream.read() else {
                    guard decoder.count == 0 else { throw GuestFrameError(reason: "the body ends inside a frame") }
                    return nil
                }
                decoder.append(chunk.readableBytesView)
            }
        } catch let error as GuestFrameError {
            stream.reset()
            throw AgentError(.unavailable, "the guest does not keep to the protocol", cause: error)
        }
    }
}
